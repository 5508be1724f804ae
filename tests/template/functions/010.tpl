{{ regexMatch "(" "a" }}
