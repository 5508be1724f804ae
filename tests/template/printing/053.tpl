{{ .x | sprig_default "d" }} {{ .x.y.z | sprig_default "d" }}
