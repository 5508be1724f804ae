{{ "a" | printf "%s-%s" "b" }} {{ printf "%s" }} {{ printf "%s" "a" "b" }} {{ printf "%" }} {{ printf "%z" 5 }} {{ printf "%!" }}
