{{ with secret "secret/data/app/config" }}{{ .Data.data.username "x" }}{{ end }}
