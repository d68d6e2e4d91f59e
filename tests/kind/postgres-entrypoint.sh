#!/bin/sh
# Does for Debian's PostgreSQL what the official image's entry point does and the chart relies on: a first start makes the
# database below $PGDATA, with $POSTGRES_PASSWORD for the role postgres, and runs /docker-entrypoint-initdb.d/*.sh against
# a server that listens on its socket alone. Runs as any user that may write there and to /run/postgresql, on a root
# file system that may be read-only.
set -eu
PATH=/usr/lib/postgresql/15/bin:$PATH
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?}"
  umask 077
  mkdir -p "$PGDATA"
  echo "$POSTGRES_PASSWORD" > /tmp/password
  # No fsync: these data live as long as a test.
  initdb --pgdata="$PGDATA" --username=postgres --pwfile=/tmp/password --encoding=UTF8 --locale=C.UTF-8 \
    --auth-host=trust --auth-local=trust --no-sync > /dev/null
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  pg_ctl --pgdata="$PGDATA" --options="-c listen_addresses=''" --wait start > /dev/null
  export POSTGRES_USER=postgres POSTGRES_DB=postgres
  for script in /docker-entrypoint-initdb.d/*.sh; do
    [ ! -e "$script" ] || . "$script"
  done
  pg_ctl --pgdata="$PGDATA" --mode=fast --wait stop > /dev/null
fi
# A node may have given the volume's group more than PostgreSQL accepts.
chmod 700 "$PGDATA"
# The official image is stopped by SIGINT, which does not wait for clients to go; an imported image cannot say so.
postgres -D "$PGDATA" -c listen_addresses='*' "$@" &
server=$!
trap 'kill -INT $server' TERM INT
# A signal ends a wait; the second one is for the server's end.
wait $server || wait $server
