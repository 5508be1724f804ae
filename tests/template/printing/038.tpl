{{ range 0 }}x{{ else }}e{{ end }} {{ range -2 }}x{{ else }}e{{ end }} {{ range $n := (add 1 1) }}{{ printf "%T" $n }}{{ end }}
