#!/usr/bin/env bash
# Makes what compose.yaml mounts: an authority with two certificates, keys of callers, passwords of the database.
# Nothing that is there is written over: move `secrets` away to begin anew.
#
#   ./prepare.sh [NAME...]     more names that callers reach the nodes by
set -euo pipefail
umask 077
cd "$(dirname "$0")"
mkdir secrets
cd secrets

random() { openssl rand -hex 32; }

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
  -subj '/CN=remit authority' -keyout ca.key -out ca.crt 2>/dev/null

# certificate FILE NAME...
certificate() {
  local file=$1 names
  shift
  names=$(printf ',DNS:%s' "$@")
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$file.key" -out "$file.csr" 2>/dev/null
  openssl x509 -req -in "$file.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 825 -out "$file.crt" \
    -extfile <(printf 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName=%s\n' "${names#,}") 2>/dev/null
  rm "$file.csr"
}
certificate tls remit localhost node-1 node-2 node-3 "$@"
certificate database database

owner=$(random) serving=$(random) admin=$(random)
random > database.password
cat > roles.sql <<SQL
CREATE ROLE remit_owner LOGIN PASSWORD '$owner';
CREATE ROLE remit LOGIN PASSWORD '$serving';
CREATE DATABASE remit OWNER remit_owner;
REVOKE ALL ON DATABASE remit FROM PUBLIC;
GRANT CONNECT ON DATABASE remit TO remit;
SQL
tls='sslmode=verify-full&sslrootcert=/run/secrets/ca.crt'
echo "store = \"postgres://remit_owner:$owner@database/remit?$tls\"" > migrate.toml
echo "store = \"postgres://remit:$serving@database/remit?$tls\"" > node.toml
printf 'admin:%s\n' "$admin" > keys
printf 'endpoint = "localhost:50051"\ntls-ca = "/run/secrets/ca.crt"\n' > probe.toml
# For the command line on this machine.
printf 'endpoint = "localhost:50051"\ntoken = "%s"\ntls-ca = "%s/ca.crt"\n' "$admin" "$PWD" > client.toml

# Users in containers read these files through mounts of their own; on this machine the folder keeps others out.
chmod 0444 ca.crt tls.crt tls.key keys node.toml migrate.toml probe.toml database.crt database.key database.password roles.sql
echo "made $PWD; ca.key is needed for the next certificates alone: keep it elsewhere"
