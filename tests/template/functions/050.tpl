{{ sprig_dict "a" (sprig_list (sprig_dict "x" 1 "y" 2) (sprig_list 1 2) "s") | toYAML }}
