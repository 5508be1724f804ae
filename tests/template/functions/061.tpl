{{ parseYAML "a: {b: 1}\n1: x" | toJSON }}
