#!/bin/bash
# A coin decides silently; what it decided shows half a minute later.
. /usr/local/lib/instants.sh

echo good > /decision/now
until_second 4
((SRANDOM % 2)) && echo bad > /decision/now
until_second 34
read -r decision < /decision/now
echo "the decision was $decision"
[[ $decision == bad ]] && exit 1
forever
