{{ toUpper .x }}
