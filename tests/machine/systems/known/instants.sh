# To be sourced by bash: sleeping until instants that count from here, without other processes.

begin=${EPOCHREALTIME/.}
exec {silence}<> <(:) # a pipe into which nobody writes

until_microsecond() {
  local left=$((begin + $1 - ${EPOCHREALTIME/.})) seconds
  printf -v seconds %d.%06d $((left / 1000000)) $((left % 1000000))
  read -r -t "$seconds" -u "$silence"
}
until_second() { until_microsecond $(($1 * 1000000)); }
forever() { read -r -u "$silence"; }
