{{ range $i := loop "3" }}{{ $i }},{{ end }}
