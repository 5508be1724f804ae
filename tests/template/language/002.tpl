{{ with pkiCert "pki/issue/web" "common_name=a.example.com" "ttl=24h" }}{{ toJSON . | sprig_trunc 30 }} {{ . | print | sprig_trunc 30 }} {{ eq .Cert .Data.Cert }}{{ end }}
