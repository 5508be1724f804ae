{{ sprig_has (sprig_list) 1 }}
