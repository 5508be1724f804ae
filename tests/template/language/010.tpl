{{ range $i, $e := loop 2 4 }}{{ $i }}:{{ $e }},{{ end }}
