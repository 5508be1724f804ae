{{ .foo.bar }}
