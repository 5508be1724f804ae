#!/usr/bin/env bash
# What an application of the checks does: it finds its token in a file, asks for a database credential twice through
# the proxy, without a token, and logs in to PostgreSQL with it. It needs bash and psql.
set -euo pipefail

fail() {
  echo "e2e: $*" >&2
  exit 1
}

[[ -s ${TOKEN_FILE:=/keyside/token} ]] || fail "no token in $TOKEN_FILE"
address=${VAULT_ADDR#http://}
[[ $address == *:* ]] || fail "VAULT_ADDR is ${VAULT_ADDR:-not set}"

# bash speaks TCP by itself, and HTTP/1.0 has no chunks.
fetch() {
  exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
  printf 'GET /v1/%s HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" "$address" >&3
  cat <&3
  exec 3>&-
}

# A field of a JSON object, where its value has no quotes in it.
field() {
  sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p" <<<"$2"
}

first=$(fetch database/creds/e2e)
user=$(field username "$first")
password=$(field password "$first")
[[ -n $user && -n $password ]] || fail "no credential: $(head -n 1 <<<"$first")"
second=$(fetch database/creds/e2e)
grep -qi '^x-cache: hit' <<<"$second" || fail "the second answer did not come from the cache"
[[ $(field username "$second") == "$user" ]] || fail "two answers, two users"

export PGPASSWORD=$password PGCONNECT_TIMEOUT=10
seen=$(psql --no-psqlrc --tuples-only --no-align --dbname postgres --username "$user" --command 'SELECT current_user')
[[ $seen == "$user" ]] || fail "PostgreSQL knows it as $seen"
echo "e2e: PostgreSQL let $user in"
