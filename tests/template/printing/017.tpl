{{ printf "%t|%5t|%v|%d" true false true true }}
