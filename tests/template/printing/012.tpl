{{ range $v := sprig_list nil }}{{ $v.x }}{{ end }}
