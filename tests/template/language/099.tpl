{{ printf "%v %v" (sprig_list "a" 1 nil true 1.5) (sprig_dict "k" nil "b" (sprig_list)) }}
