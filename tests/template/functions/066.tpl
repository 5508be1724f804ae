{{ (parseYAML "a: b").a }} {{ index (parseYAML "a: b") "a" }} {{ range $k, $v := parseYAML "b: 1\na: 2" }}{{ $k }}={{ $v }};{{ end }}
