{{ with secret "secret/data/app/config" }}{{ eq .Data.data.port "5432" }}{{ end }}
