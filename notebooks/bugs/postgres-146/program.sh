# Starts when the database is said to be healthy, and needs it. Without it, it ends with exit code 1.
orders=$(psql --host=database --username=postgres --tuples-only --command='select count(*) from orders') || exit 1
echo "$orders orders"
exec sleep infinity
