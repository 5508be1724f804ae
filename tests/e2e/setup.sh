#!/bin/sh
# What an operator sets up in Vault before pods can use it. It may run again.
set -eu

until bao status >/dev/null; do sleep 1; done

bao auth list | grep -q '^kubernetes/' || bao auth enable kubernetes
# In a pod OpenBao finds the API server's authority by itself.
bao write auth/kubernetes/config kubernetes_host="$KUBERNETES_HOST" \
  ${KUBERNETES_CA:+"kubernetes_ca_cert=$KUBERNETES_CA"}
bao write auth/kubernetes/role/e2e audience=vault token_policies=e2e token_ttl=1h \
  bound_service_account_names=app bound_service_account_namespaces="$NAMESPACES"
bao policy write e2e - <<'POLICY'
path "database/creds/e2e" { capabilities = ["read"] }
POLICY

bao secrets list | grep -q '^database/' || bao secrets enable database
bao write database/config/e2e plugin_name=postgresql-database-plugin allowed_roles=e2e \
  connection_url="postgresql://{{username}}:{{password}}@$POSTGRES/postgres?sslmode=disable" \
  username=postgres password="$POSTGRES_PASSWORD"
bao write database/roles/e2e db_name=e2e default_ttl=10m max_ttl=1h \
  creation_statements="CREATE ROLE \"{{name}}\" WITH LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
