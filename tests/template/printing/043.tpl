{{ range sprig_list 1 2 3 }}{{ range sprig_list 1 2 }}{{ break }}{{ end }}{{ . }}{{ if eq . 2 }}{{ break }}{{ end }}{{ end }}
