{{ replaceAll "a" "b" "banana" }} {{ "banana" | replaceAll "a" "" }}
