{{ sprig_list 1 | toTOML }}
