{{ loop }}
