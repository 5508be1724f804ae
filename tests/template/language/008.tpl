{{ range loop 5 2 }}{{ . }}{{ else }}e{{ end }}
