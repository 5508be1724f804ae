{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}
