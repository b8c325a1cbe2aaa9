#!/bin/bash
# lock OF DIAL...: once in a second a dial is tried, in one of OF cases with success; then it is the
# turn of the next one. After a failure nothing more is tried. When all are turned, it fails.
. /usr/local/lib/instants.sh

of=$1 second=0
shift
for dial; do
  until_second $((++second))
  if ((SRANDOM % of)); then forever; fi
  echo "dial $dial is turned"
done
exit 1
