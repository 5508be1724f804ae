{{ range $i, $v := sprig_list "a" "b" }}{{ $i }}={{ $v }};{{ else }}none{{ end }}
