{{ sprig_mustRegexFind "(" "a" }}
