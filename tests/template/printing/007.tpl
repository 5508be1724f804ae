{{ secret "kv1/db" "novalue" }}
