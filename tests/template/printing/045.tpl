{{ with 5 }}{{ $x := . }}{{ $x }}{{ end }} {{ with }}{{ end }}
