#!/usr/bin/env bash
# Starts PostgreSQL as an unprivileged user; the first start on an empty PGDATA makes the cluster.
set -Eeuo pipefail

# Root owns a fresh volume: hand it to postgres, then start again as that user.
if [ "${1:-}" = postgres ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
  find /var/run/postgresql \! -user postgres -exec chown postgres '{}' +
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$BASH_SOURCE" "$@"
fi

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  if [ -z "${POSTGRES_PASSWORD:-}" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
    echo >&2 'postgres: set POSTGRES_PASSWORD (or POSTGRES_HOST_AUTH_METHOD=trust) before the first start'
    exit 1
  fi
  method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}
  initdb --username="${POSTGRES_USER:-postgres}" \
    --pwfile=<(printf '%s\n' "${POSTGRES_PASSWORD:-}") --auth-host="$method" --auth-local=trust ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"

  # The set-up scripts get a server that listens on the socket only.
  PGUSER=${POSTGRES_USER:-postgres} pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  for script in /docker-entrypoint-initdb.d/*; do
    case "$script" in
      *.sh) "$script" ;;
      *.sql) psql -v ON_ERROR_STOP=1 --no-psqlrc -U "${POSTGRES_USER:-postgres}" -d postgres -f "$script" ;;
    esac
  done
  pg_ctl -D "$PGDATA" -m fast -w stop
  echo 'PostgreSQL init process complete; ready for start up.'
fi

exec "$@"
