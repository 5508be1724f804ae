{{ splitToMap "" "=" "a=1" }} {{ splitToMap "," "" "a=1" }}
