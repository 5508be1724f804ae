{{ env "FOO" }} {{ mustEnv "FOO" }} [{{ env "NOPE" }}] {{ envOrDefault "NOPE" "d" }} [{{ envOrDefault "EMPTY" "d" }}] {{ mustEnv "EMPTY" }}
