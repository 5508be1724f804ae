{{ with secret "secret/data/app/config" }}{{ .Data.nope }} {{ .Data.data.nope }} {{ .Data.data.none }} [{{ .Data.data.nope | print }}]{{ end }}
