{{ modulo 2.5 5 }}
