{{ index (sprig_dict "a" nil) "a" "b" }}
