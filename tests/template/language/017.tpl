{{ and 1 2 }} {{ or "" "a" }} {{ not nil }} {{ or nil "x" }} {{ and true (index (sprig_list 1) 0) }}
