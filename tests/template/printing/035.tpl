{{ if (sprig_dict "a" nil).a.b }}x{{ end }}
