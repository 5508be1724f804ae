{{ sprig_join "," (sprig_list 1 "a" nil 1.5) }} {{ sprig_join "," "x" }} {{ sprig_join "," (split "," "a,b") }} {{ sprig_join "-" 5 }} {{ sprig_join "-" nil }}
