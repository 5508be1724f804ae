{{ slice "abc" 2 9 }}
