{{ range (sprig_dict).nope }}x{{ else }}e{{ end }}
