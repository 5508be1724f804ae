{{ printf "%T" (parseYAML "a: 1") }} {{ printf "%T" (parseYAML "a: 1").a }} {{ printf "%T" (parseYAML "a: 1.5").a }} {{ printf "%T" (parseYAML "a: [1]").a }}
