{{ sprig_hasKey (parseYAML "a: 1") "a" }}
