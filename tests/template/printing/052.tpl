{{ "a" | eq "a" }} {{ 5 | lt 3 }} {{ true | and true }} {{ "" | or "x" }} {{ 0 | and 5 }}
