{{ with secret "secret/data/app/config" }}{{ .Data.data.nope.deeper }}{{ end }}
