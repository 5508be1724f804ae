{{ printf "%T" (split "," "a,b") }} {{ printf "%T" (sprig_list 1 2) }} {{ printf "%T" (sprig_dict "a" 1) }}
