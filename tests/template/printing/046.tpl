{{ eq "a" "b" "a" }} {{ ne "a" "a" }} {{ eq true "true" }}
