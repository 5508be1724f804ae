{{ contains "a" "abc" }}
