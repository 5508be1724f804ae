{{ range $x := "" }}x{{ end }}
