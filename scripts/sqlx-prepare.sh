#!/usr/bin/env bash
# Writes .sqlx, the descriptions of Central's SQL queries against which a build without a database is checked.
#
#   scripts/sqlx-prepare.sh           brings .sqlx up to date and removes what no query uses any more
#   scripts/sqlx-prepare.sh --check   changes nothing; fails where .sqlx is not what the queries and migrations say
#
# Starts a private PostgreSQL, applies migrations/, compiles `central` against it. The macros of sqlx write one file a
# query into SQLX_OFFLINE_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
check=no
case "${1:-}" in
  '') ;;
  --check) check=yes ;;
  *) echo "usage: $0 [--check]" >&2; exit 2 ;;
esac

bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -x "${bin:-}/initdb" ] || { echo "PostgreSQL is needed: apt-get install postgresql" >&2; exit 1; }
work=$(mktemp -d)
if [ "$(id -u)" = 0 ]; then
  # PostgreSQL refuses to run as root.
  chmod 711 "$work"
  install -d -o postgres "$work/pg"
  as() { setpriv --reuid=postgres --regid=postgres --init-groups env -i PATH="$bin:/usr/bin:/bin" LC_ALL=C.UTF-8 "$@"; }
else
  mkdir "$work/pg"
  as() { env PATH="$bin:$PATH" LC_ALL=C.UTF-8 "$@"; }
fi
end() {
  as pg_ctl -D "$work/pg/data" -m immediate -w stop >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap end EXIT
# Without a TCP port: nothing to collide with.
as initdb -D "$work/pg/data" -U sealgate -A trust -E UTF8 --no-sync >"$work/initdb.log"
as pg_ctl -D "$work/pg/data" -w -l "$work/pg/log" \
  -o "-c listen_addresses='' -c unix_socket_directories=$work/pg -c fsync=off" start >/dev/null
for migration in migrations/*.sql; do
  as psql -q -1 -v ON_ERROR_STOP=1 -h "$work/pg" -U sealgate -d postgres <"$migration"
done

mkdir "$work/sqlx"
# Cargo does not see that the answers of the database may have changed.
touch central/src/lib.rs
DATABASE_URL="postgres://sealgate@localhost/postgres?host=$work/pg" SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$work/sqlx" \
  cargo check --quiet --locked -p central --all-targets
if [ "$check" = yes ]; then
  diff -r -q .sqlx "$work/sqlx" || {
    echo ".sqlx is not up to date: run scripts/sqlx-prepare.sh and commit .sqlx" >&2
    exit 1
  }
  echo ".sqlx is up to date: $(ls .sqlx | wc -l) queries"
else
  mkdir -p .sqlx
  find .sqlx -name 'query-*.json' -delete
  cp "$work"/sqlx/*.json .sqlx/
  echo ".sqlx: $(ls .sqlx | wc -l) queries"
fi
