{{ with secret "secret/data/app/config" }}{{ .Data.data.username.deeper }}{{ end }}
