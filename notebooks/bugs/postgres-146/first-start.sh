# What the entry points of images of databases do: the first start makes the files, fills them with the
# help of a server that nobody but this container can reach, and then starts the real one.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    initdb --auth=trust --no-sync >/dev/null
    echo "host all all all trust" >> "$PGDATA/pg_hba.conf"
    pg_ctl --silent --wait --options="-c listen_addresses=''" --log=/dev/null start
    psql --quiet --file=/usr/local/share/shop.sql
    pg_ctl --silent --wait --mode=fast stop
fi
exec postgres -c listen_addresses='*' -c fsync=off
