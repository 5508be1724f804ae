{{ with secret "secret/data/app/config" }}{{ .Data.data | toTOML }}{{ end }}
