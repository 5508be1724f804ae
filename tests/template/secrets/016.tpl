{{ with secret "secret/data/app/config" }}{{ .RequestID | len }} [{{ .LeaseID }}] {{ .LeaseDuration }} {{ .Renewable }} {{ .Warnings }} {{ .Auth }} {{ .WrapInfo }}{{ end }}
