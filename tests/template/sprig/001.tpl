{{ sprig_default "d" "" }} {{ sprig_default "d" nil }} {{ sprig_default 5 0 }} {{ "x" | sprig_default "d" }} {{ sprig_default "d" }} {{ sprig_default "d" (sprig_list) }} {{ sprig_default "d" false }}
