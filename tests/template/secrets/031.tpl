{{ range secrets "secret/" }}{{ . }};{{ end }}
