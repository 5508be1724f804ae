{{ sprig_slice (sprig_list 1 2 3) 1 }} {{ sprig_slice (sprig_list 1 2 3) }} {{ sprig_slice (sprig_list) }}
