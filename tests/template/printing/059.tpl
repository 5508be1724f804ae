{{ regexReplaceAll "(" "a" "b" }}
