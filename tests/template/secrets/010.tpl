{{ with secret "secret/data/app/config" }}{{ add .Data.data.port 1 }}{{ end }}
