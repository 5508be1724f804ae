{{ print nil }} {{ print nil 1 "a" "b" 2 3 }} {{ println "a" 1 }}.
