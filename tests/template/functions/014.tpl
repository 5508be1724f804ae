{{ toUpper "abcé" }} {{ toLower "ABCÉ" }} {{ toTitle "hello wORLD-foo_bar baz's" }}
