{{ trimSpace "\u00a0a\u2003" | printf "%q" }} {{ sprig_trim "\u00a0a" | printf "%q" }} {{- "\n" | printf "%q" -}} x
