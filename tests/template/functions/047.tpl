{{ loop 1 2 3 }}
