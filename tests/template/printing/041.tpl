{{ range $i, $c := loop 3 }}{{ $i }}{{ end }} {{ if loop 0 }}t{{ end }} {{ loop 3 | printf "%T" }}
