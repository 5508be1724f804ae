vault {
  adress          = "https://vault.example:8200"
  tls_skip_verify = "perhaps"
}
auto_auth {
  method "kubernetes" {
    min_backoff = "soon"
    config = {
      rolle = "cart"
    }
  }
  sink "file" {
    config = {
      path = "/keyside/token"
      mode = "999"
    }
  }
  sink "pigeon" {
    config = {}
  }
}
cache {
  max_entries = "lots"
}
listener "tcp" {
  address     = "127.0.0.1:99999"
  tls_disable = true
}
listener "udp" {
  address = "127.0.0.1:8200"
}
limits {
  burst = 0
}
log_level      = "loud"
log_format     = "xml"
worker_threads = "many"
pid_file       = 7
exec {
  command = ["true"]
}
