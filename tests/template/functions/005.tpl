{{ splitToMap "," "=" "a=1,b" }}
