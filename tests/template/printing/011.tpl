{{ range sprig_list nil }}{{ .x }}{{ end }}
