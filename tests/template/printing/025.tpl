{{ with secret "secret/data/app/config" }}{{ .Auth.ClientToken }}{{ end }}
