{{ printf "%T" (add 1 2) }} {{ printf "%T" (sprig_add 1 2) }} {{ printf "%T" (len "abc") }} {{ printf "%T" (divide 2 5) }} {{ printf "%T" (add 1.5 2) }}
