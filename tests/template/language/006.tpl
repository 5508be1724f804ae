{{ range nil }}x{{ end }}
