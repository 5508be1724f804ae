{{ .Foo.Bar "x" }}
