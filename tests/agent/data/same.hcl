# Says what same.json and same.yaml say, in the ways in which HCL 1 can say it.
vault {
  address         = "https://vault.example:8200/prefix"
  namespace       = "team/shop"
  tls_server_name = "vault.example"
}

auto_auth {
  method "kubernetes" {
    mount_path  = "auth/cluster"
    min_backoff = "2s"
    max_backoff = "1m"
    config = {
      role       = "cart"
      token_path = "/var/run/token"
    }
  }

  sink "file" {
    config = {
      path = "/keyside/token"
      mode = "0600"
    }
  }
  sink {
    type = "file"
    config {
      path = "/keyside/copy"
    }
  }
}

cache {
  max_entries = 500
  max_bytes   = "8MiB"
}

api_proxy {
  use_auto_auth_token = "force"
}

listener "tcp" {
  address     = "127.0.0.1:8200"
  tls_disable = true
}
listener "unix" {
  address                = "/keyside/agent.sock"
  tls_disable            = true
  socket_mode            = "0660"
  require_request_header = true
}

limits {
  requests_per_second = 5
  burst               = 7
}

admin {
  socket  = "/run/keyside/admin.sock"
  address = "127.0.0.1:9102"
}

resume {
  path      = "/run/keyside"
  max_bytes = "256KiB"
}

log_level  = "debug"
log_format = "json"
