{{ trim "xxaxx" "x" }}|{{ "xxaxx" | trim "x" }}|{{ trimPrefix "ab" "abc" }}|{{ trimPrefix "abc" "ab" }}|{{ "abc" | trimPrefix "ab" }}|{{ trimSuffix "c" "abc" }}|{{ trimSpace "  a  " }}
