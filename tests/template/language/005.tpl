{{ range $k := sprig_dict "b" 1 "a" 2 }}{{ $k }};{{ end }} {{ range sprig_list }}x{{ else }}empty{{ end }}
