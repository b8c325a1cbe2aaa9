#!/bin/bash
# Two timers are set to exponential times; it is the failure when the first rings first.
. /usr/local/lib/instants.sh

RATES=(0.5 1.5) # a second

until_second 4
drawn=("$SRANDOM" "$SRANDOM")
# -log(u) / rate with u uniform in (0, 1), as microseconds from the start
read -r first second < <(awk "BEGIN {
  printf \"%d %d\n\", 4e6 - 1e6 * log((${drawn[0]} + 0.5) / 2^32) / ${RATES[0]},
                      4e6 - 1e6 * log((${drawn[1]} + 0.5) / 2^32) / ${RATES[1]} }")
echo "timers: $first $second"
if ((first < second)); then
  until_microsecond "$first"
  echo 'the first timer'
  exit 1
fi
until_microsecond "$second"
echo 'the second timer'
forever
