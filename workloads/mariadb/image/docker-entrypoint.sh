#!/usr/bin/env bash
# Starts MariaDB as an unprivileged user; the first start on an empty data directory makes the system tables.
set -Eeuo pipefail
data=/var/lib/mysql

# Root owns a fresh volume: hand it to mysql, then start again as that user.
if [ "${1:-}" = mariadbd ] && [ "$(id -u)" = 0 ]; then
  mkdir -p "$data" /run/mysqld
  find "$data" /run/mysqld \! -user mysql -exec chown mysql: '{}' +
  exec setpriv --reuid=mysql --regid=mysql --init-groups -- "$BASH_SOURCE" "$@"
fi

if [ "${1:-}" = mariadbd ] && [ ! -d "$data/mysql" ]; then
  if [ -z "${MARIADB_ROOT_PASSWORD:-}" ]; then
    echo >&2 'mariadb: set MARIADB_ROOT_PASSWORD before the first start'
    exit 1
  fi
  mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal --skip-test-db --rpm

  # Accounts and set-up scripts get a server that listens on the socket only.
  mariadbd --skip-networking --socket=/run/mysqld/mysqld.sock &
  server=$!
  for _ in $(seq 300); do
    mariadb-admin --socket=/run/mysqld/mysqld.sock -uroot ping > /dev/null 2>&1 && break
    kill -0 "$server"
    sleep 0.1
  done
  mariadb --socket=/run/mysqld/mysqld.sock -uroot << SQL
ALTER USER 'root'@'localhost' IDENTIFIED BY '${MARIADB_ROOT_PASSWORD//\'/\'\'}';
CREATE USER 'root'@'%' IDENTIFIED BY '${MARIADB_ROOT_PASSWORD//\'/\'\'}';
GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;
SQL
  for script in /docker-entrypoint-initdb.d/*; do
    case "$script" in
      *.sh) "$script" ;;
      *.sql) mariadb --socket=/run/mysqld/mysqld.sock -uroot -p"$MARIADB_ROOT_PASSWORD" < "$script" ;;
    esac
  done
  kill -TERM "$server"
  wait "$server"
  echo 'MariaDB init process done. Ready for start up.'
fi

exec "$@"
