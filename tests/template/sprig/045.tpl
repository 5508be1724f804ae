{{ with secret "secret/data/app/config" }}{{ .Data.data.port | toString }}{{ end }}
