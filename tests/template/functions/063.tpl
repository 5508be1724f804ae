{{ parseYAML "a: {b: [1, 2.5, ~, true]}\nc: 2001-01-01" | toJSON }}
