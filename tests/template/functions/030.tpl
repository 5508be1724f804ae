{{ parseYAML "" }} {{ parseYAML "a:\n  - b\n  - c: d\nx: yes\ny: null\nz: 010\nw: 'q'" }} {{ parseYAML "a:\n  - b\n  - c: d\nx: yes\ny: null\nz: 010" | toJSON }}
