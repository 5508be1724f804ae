{{ define "t" }}[{{ . }}]{{ end }}{{ template "t" "x" }}{{ template "t" }}{{ block "b" 5 }}<{{ . }}>{{ end }}
