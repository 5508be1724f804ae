{{ sprig_dict "a" }} {{ sprig_dict 1 2 }} {{ sprig_dict "a" 1 "b" }}
