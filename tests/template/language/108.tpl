{{ .Foo "x" }}
