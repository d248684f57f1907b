# As the official image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB make the cluster on the first start.
set -eu
user=${POSTGRES_USER:-postgres}; database=${POSTGRES_DB:-$user}
as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
cd /var/lib/postgresql
chown postgres:postgres .
if [ ! -d "$PGDATA" ]; then
  rm -rf half
  (umask 077; printf %s "${POSTGRES_PASSWORD:?}" >password); chown postgres password
  # Nobody is let in while it is made: it does not listen before it is whole.
  as_postgres initdb -D half -U "$user" --pwfile=password -A scram-sha-256 -E UTF8 \
    --no-locale --locale-provider=builtin --builtin-locale=C.UTF-8 >/dev/null
  rm password
  echo "host all all all scram-sha-256" >>half/pg_hba.conf
  [ "$database" = postgres ] || printf 'CREATE DATABASE "%s"\n' "$database" | as_postgres postgres --single -D half postgres >/dev/null
  mv half "$PGDATA"
fi
program=$1; shift
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$program" -c listen_addresses='*' "$@"
