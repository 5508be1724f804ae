{{ (sprig_split "," "a")._9 | printf "%q" }} {{ index (sprig_split "," "a") "_9" | printf "%q" }}
