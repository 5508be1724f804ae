{{ parseJSON "[1,2]" }} {{ parseJSON "5" }} {{ parseJSON "null" }} {{ parseJSON "\"x\"" }}
