#!/bin/sh
# Looks at something that takes its time, for a third of the requests longer than a second.
sleep "$(shuf -n 1 -e 0.1 0.2 1.2)"
printf 'Content-Type: text/plain\n\nok\n'
