{{ len (index (sprig_dict) "a") }}
