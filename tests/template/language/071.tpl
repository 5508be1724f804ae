{{ undefined_var_test $x }}
