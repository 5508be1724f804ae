{{ parseYAML "a: b" | toYAML }}
