{{ splitToMap "," "=" " a = 1 , b=2" | toJSON }}
