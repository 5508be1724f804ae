{{ sprig_dict "a" (sprig_dict) "b" (sprig_list (sprig_list 1) (sprig_list 2 3)) "c" (sprig_dict "d" (sprig_dict "e" (sprig_dict "f" 1))) | toTOML }}
