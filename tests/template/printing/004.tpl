{{ toTOML (sprig_dict "t" (sprig_dict "x" 1 "l" (sprig_list (sprig_dict "a" 1) (sprig_dict "a" 2)) "u" (sprig_dict "v" 1)) "a" 1) }}
