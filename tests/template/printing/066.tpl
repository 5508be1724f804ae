{{ (sprig_now).Unix | printf "%T" }} {{ (sprig_now).Format "2006" | len }} {{ sprig_now.UTC.Year }}
