{{ range $k, $v := (splitToMap "," "=" "b=1,a=2") }}{{ $k }}{{ $v }}{{ end }}
