{{ sprig_list }} {{ sprig_values (sprig_dict "a" 1) }}
