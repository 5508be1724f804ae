{{ printf "%T %T" 1 1.5 }} {{ printf "%T" "s" }} {{ printf "%T" nil }}
