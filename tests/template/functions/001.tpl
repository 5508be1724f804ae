{{ with secret "secret/data/app/config" }}{{ trimSpace .Data.data.port }}{{ end }}
