{{ mergeMap (sprig_dict "a" 1 "b" 2) (sprig_dict "b" 3 "c" 4) }} {{ sprig_dict "a" 1 "n" (sprig_dict "x" 1) | mergeMapWithOverride (sprig_dict "a" 2 "n" (sprig_dict "y" 2)) }}
