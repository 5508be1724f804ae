{{ parseBool "yes" }}
