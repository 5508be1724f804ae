{{ (secret "kv1/db").Data.username }}
