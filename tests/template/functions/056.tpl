{{ sprig_dict "a" (sprig_list 1 "a") | toTOML }}
