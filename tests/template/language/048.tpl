{{ len "héé" }} {{ len (sprig_list 1) }} {{ len (sprig_dict "a" 1) }}
