{{ if true }}{{ else }}{{ else }}{{ end }}
