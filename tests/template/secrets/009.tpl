{{ with secret "secret/data/app/config" }}{{ printf "%d|%v|%s|%q|%05d|%x" .Data.data.port .Data.data.port .Data.data.port .Data.data.port .Data.data.port .Data.data.port }}{{ end }}
