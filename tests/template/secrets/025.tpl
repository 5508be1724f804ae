{{ with secret "secret/data/app/config" }}{{ .Data.data | toYAML }}{{ end }}
