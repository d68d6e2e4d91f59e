# What comanda expects of a database: an owner that migrates, and a role that the pods connect as, neither a superuser.
# PostgreSQL's image runs it once, when the volume is empty.
psql --set ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname postgres \
  --set owner_password="$OWNER_PASSWORD" --set service_password="$SERVICE_PASSWORD" <<'SQL'
CREATE ROLE comanda_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE comanda_service LOGIN PASSWORD :'service_password';
CREATE DATABASE comanda OWNER comanda_owner;
SQL
