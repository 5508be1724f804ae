{{ with secret "secret/data/app/config" }}{{ .Data.data | toUnescapedJSON }}{{ end }}
