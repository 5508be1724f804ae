{{ len "a" "b" }}
