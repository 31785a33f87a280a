#!/bin/sh
# Run once by the image of PostgreSQL: the role that the service logs in as. `deskledger migrate` grants it what it needs, and no more.
set -eu
psql --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" --set=ON_ERROR_STOP=1 --set=password="$SERVICE_PASSWORD" <<'SQL'
create role deskledger_service login password :'password';
SQL
