#!/bin/bash
# Something is tried three times; never to succeed is the failure.
. /usr/local/lib/instants.sh

for second in 2 4 6; do
  until_second "$second"
  if ((SRANDOM % 10 < 6)); then
    echo 'try: done'
    forever
  fi
  echo 'try: no answer'
done
until_second 8
echo 'giving up'
exit 1
