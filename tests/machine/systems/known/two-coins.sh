#!/bin/bash
# Two coins are tossed; heads twice is the failure.
. /usr/local/lib/instants.sh

faces=()
for second in 10 20; do
  until_second "$second"
  ((SRANDOM % 2)) && face=heads || face=tails
  echo "toss $((${#faces[@]} + 1)): $face"
  faces+=("$face")
done
until_second 30
echo "check: ${faces[*]}"
[[ ${faces[*]} == 'heads heads' ]] && exit 1
forever
