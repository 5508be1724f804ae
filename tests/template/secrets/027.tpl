{{ with secret "secret/data/app/config" }}{{ .Data.metadata | toJSON }}{{ end }}
