{{ with secret "secret/data/app/config" }}{{ eq (print .Data.data.port) "5432" }} {{ eq (.Data.data.port | sprig_toString) "5432" }} {{ eq .Data.data.port .Data.data.port}}{{ end }}
