{{ index (sprig_list 1) "a" }}
