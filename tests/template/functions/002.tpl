{{ with secret "secret/data/app/config" }}{{ .Data.data.hosts | join "," }}{{ end }}
