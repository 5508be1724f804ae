{{ sprig_regexFind "(" "a" }}
