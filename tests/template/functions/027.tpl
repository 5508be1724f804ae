{{ parseInt "abc" }}
