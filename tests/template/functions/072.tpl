{{ join "," (sprig_list "a") }}
