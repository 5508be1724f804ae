{{ with pkiCert "pki/issue/web" "common_name=b.example.com" "ttl=24h" }}{{ len .Data.Cert }} {{ len .Data.Key }} {{ len .Data.CA }} {{ .Data.CAChain | len }}{{ end }}
