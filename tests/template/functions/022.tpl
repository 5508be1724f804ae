{{ modulo 0 5 }}
