{{ slice "abcdef" 1 3 }} {{ slice (sprig_list 1 2 3) 1 }} {{ slice "abc" }} {{ slice (sprig_list 1 2 3) 0 2 3 }}
