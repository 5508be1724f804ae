{{ split "," "a,b,,c" | join "-" }} {{ split "," "" | len }} {{ split "" "" | len }} {{ split "" "abc" }} {{ splitToMap "," "=" "a=1,b=2,c" }} {{ printf "%T" (splitToMap "," "=" "a=1") }}
