{{ sprig_add nil 1 }} {{ sprig_add "x" 1 }} {{ sprig_add true 1 }} {{ sprig_add (sprig_list) 1 }}
