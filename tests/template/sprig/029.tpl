{{ sprig_env "FOO" }} {{ sprig_expandenv "a $FOO ${FOO} $NOPE" }}
