{{ parseYAML "a: &x 1\nb: *x\n<<: {c: 3}" }}
