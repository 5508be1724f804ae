{{ with secret "secret/data/app/config" }}{{ .Foo }}{{ end }}
