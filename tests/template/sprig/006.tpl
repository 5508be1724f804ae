{{ sprig_substr 5 2 "abc" }}
