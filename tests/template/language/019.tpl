{{ if 0.0 }}t{{ else }}f{{ end }}{{ if nil }}t{{ else }}f{{ end }}{{ if sprig_list }}t{{ else }}f{{ end }}{{ if sprig_dict }}t{{ else }}f{{ end }}{{ if "0" }}t{{ end }}
