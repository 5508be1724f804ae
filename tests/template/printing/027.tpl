{{ with secret "secret/data/app/config" }}{{ .LeaseID "x" }}{{ end }}
