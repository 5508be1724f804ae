{{ parseYAML "1: x" }}
