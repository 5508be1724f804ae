# The server is what VAULT_ADDR says.
auto_auth {
  method "token_file" {
    config = {
      token_file_path = "vault-token"
    }
  }

  sink "file" {
    config = {
      path = "token"
    }
  }
}

cache {}

listener "tcp" {
  address     = "127.0.0.1:0"
  tls_disable = true
}

admin {
  socket = "admin.sock"
}
