{{ sprig_slice (sprig_list 1) 5 }}
