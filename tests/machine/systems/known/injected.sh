#!/bin/bash
# injected start: notes that it was started. injected count SECOND: fails there if that was noted
# more than once, since then something killed the server.
. /usr/local/lib/instants.sh

if [[ $1 == start ]]; then
  echo start >>/starts/all
  forever
fi
until_second "$2"
mapfile -t starts </starts/all
echo "check: ${#starts[@]} starts"
((${#starts[@]} > 1)) && exit 1
forever
