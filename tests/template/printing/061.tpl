{{ toTitle "éa" }} {{ sprig_title "éa b" }} {{ sprig_trunc 1 "é" | len }}
