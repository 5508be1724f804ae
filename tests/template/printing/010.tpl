{{ with secret "/kv1/db/" }}{{ .Data.username }}{{ end }}
