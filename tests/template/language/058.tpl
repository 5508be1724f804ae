{{ eq (sprig_dict "a" 1) 5 }}
