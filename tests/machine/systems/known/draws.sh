#!/bin/bash
# draws all|any SECOND [SECOND:BAD/OF...]: at each of the instants (with one digit behind the point,
# or none) something is drawn, which comes out bad in BAD of OF cases. It is the failure, at the
# first instant given, when all came out bad, or any.
. /usr/local/lib/instants.sh

how=$1 end=$2
shift 2
bad=0
for draw; do
  second=${draw%:*} share=${draw#*:}
  [[ $second == *.* ]] || second+=.0
  tenths=$((10#${second/./}))
  until_microsecond "${tenths}00000"
  if ((SRANDOM % ${share#*/} < ${share%/*})); then
    echo "draw at ${draw%:*}: bad"
    ((++bad))
  else
    echo "draw at ${draw%:*}: good"
  fi
done
until_second "$end"
echo "check: $bad of $# bad"
if [[ $how == all ]]; then ((bad == $#)) && exit 1; else ((bad)) && exit 1; fi
forever
