{{ sprig_dict "yes" 1 "true" 2 "1" 3 "a b" 4 "a:b" 5 "" 6 "é" 7 "10" 8 "9" 9 "a10" 1 "a9" 2 "B" 3 "_" 4 "a-1" 5 | toYAML }}
