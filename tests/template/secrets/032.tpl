{{ range secrets "secret/metadata/app" }}{{ . }};{{ end }} {{ printf "%T" (secrets "kv1") }}
