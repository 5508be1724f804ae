{{ with secret "sys/tools/hash" "input=aGVsbG8=" "format=hex" }}{{ .Data.sum }} {{ .LeaseDuration }}{{ end }}
