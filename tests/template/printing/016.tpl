{{ printf "%s|%10s|%-10s|%.2s|%q|%x|%X|% x|%#x|%v|%+q|%#q|%5q" "abc" "abc" "abc" "abcdef" "a\"b" "hi" "hi" "hi" "hi" "v" "é" "raw" "a" }}
