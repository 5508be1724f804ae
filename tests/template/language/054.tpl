{{ eq 1 2 3 1 }} {{ eq "a" "b" }} {{ ne 1 2 }} {{ lt 1 2 }} {{ le 1.5 1.5 }} {{ gt "b" "a" }} {{ ge 1 2 }} {{ eq true true }} {{ eq nil nil }}
