{{ executeTemplate "t" 5 }}{{ define "t" }}[{{ . }}]{{ end }}
