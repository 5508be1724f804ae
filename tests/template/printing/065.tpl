{{ sprig_now | printf "%T" }} {{ sprig_now | sprig_date "2006" | len }} {{ (sprig_now).Year }}
