{{ in (sprig_list "a" "b") "a" }} {{ in "abc" "b" }} {{ in (split "," "a,b") "c" }} {{ in (sprig_list 1 2) 1 }} {{ in (sprig_dict "a" "v") "v" }} {{ in (sprig_dict "a" "v") "a" }}
