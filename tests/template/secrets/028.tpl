{{ $s := secret "kv1/db" }}{{ $s.Data.username }}
