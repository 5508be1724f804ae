{{ if and 1 0 "x" }}a{{ else if or "" 0 }}b{{ else }}c{{ end }} {{ and 1 "" 2 }}|{{ or 0 "x" 3 }}|{{ not 0 }}|{{ and }}
