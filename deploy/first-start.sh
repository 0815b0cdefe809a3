#!/bin/sh
# Makes the secrets, the image and the first key, which is shown once, and starts the service. What is there already is left as it is.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
if [ ! -s secrets/postgres-password ]; then
  od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >secrets/postgres-password
fi
if [ ! -s secrets/llmtriage.env ]; then
  printf 'PGPASSWORD=%s\n' "$(cat secrets/postgres-password)" >secrets/llmtriage.env
fi
docker compose build llmtriage
if [ ! -e secrets/first-key-is-made ]; then
  docker compose run --rm llmtriage keys create --name first --scope classify --scope review --scope admin
  touch secrets/first-key-is-made
fi
docker compose up --detach --wait
