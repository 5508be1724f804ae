{{ range $v := sprig_list nil }}{{ $v }}{{ end }}
