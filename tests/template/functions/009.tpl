{{ regexMatch "^a.*" "abc" }} {{ regexReplaceAll "a(b+)" "[$1]" "abbb ab" }} {{ "foo bar" | regexReplaceAll "o+" "0" }} {{ regexReplaceAll "(?P<x>a)" "${x}$x_" "a" }}
