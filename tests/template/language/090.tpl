{{ template "a" 1 2 }}
