{{ sprig_quote "a\"b" 1 nil true 1.5 "é\u0001\n" }} {{ sprig_squote "a" 1 nil }} {{ sprig_quote (sprig_list "a") }} {{ sprig_quote nil }}|
