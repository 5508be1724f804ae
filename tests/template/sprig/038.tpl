{{ sprig_repeat (sprig_int 2) "a" }} {{ sprig_indent (len "ab") "x" }}
