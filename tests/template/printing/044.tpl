{{ range sprig_list 1 }}{{ else }}{{ break }}{{ end }}
