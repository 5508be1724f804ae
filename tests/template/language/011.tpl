{{ range $i, $e := sprig_until 3 }}{{ $i }}:{{ $e }},{{ end }}{{ range untilStep 1 2 3 }}{{ end }}
