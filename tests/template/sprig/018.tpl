{{ sprig_deepCopy (sprig_dict "a" (sprig_list 1)) }} {{ sprig_deepEqual (sprig_list 1) (sprig_list 1) }} {{ sprig_deepEqual 1 (add 0 1) }}
