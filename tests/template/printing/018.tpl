{{ printf "%*d|%-*d|%.*f" 5 42 5 42 2 3.14159 }} {{ printf "%[2]d %[1]d" 1 2 }} {{ printf "%[3]d" 1 }} {{ printf "%%" }} {{ printf "%d%%" 50 }}
