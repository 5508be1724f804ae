{{ with pkiCert "pki/issue/web" "common_name=c.example.com" "ttl=24h" }}{{ .Nope }}{{ end }}
