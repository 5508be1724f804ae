{{ with secret "secret/data/app/config" }}{{ sprig_upper .Data.data.port }}{{ end }}
