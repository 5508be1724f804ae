{{ with secret "secret/data/app/config" }}{{ .Data.data.port | toJSON }} {{ .Data.data | toJSON }}{{ end }}
