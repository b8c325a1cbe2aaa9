#!/bin/bash
# stress.sh NAME...: all stressors of stress-ng but those named here, a few at a time, in an order
# that is drawn by the recording's seed; then again in another.
skipped=" $* "
seed=$(od -An -N2 -tu2 /dev/urandom)
mapfile -t known < <(stress-ng --stressors | tr ' ' '\n' | grep .)
for ((round = 1; ; round++)); do
    RANDOM=$((seed + round))
    order=()
    for name in "${known[@]}"; do
        [[ $skipped == *" $name "* ]] || order+=("$RANDOM $name")
    done
    mapfile -t order < <(printf '%s\n' "${order[@]}" | sort -n | cut -d' ' -f2)
    echo "round $round, seed $RANDOM: ${#order[@]} of ${#known[@]} stressors"
    for ((first = 0; first < ${#order[@]}; first += 6)); do
        options=()
        for name in "${order[@]:first:6}"; do
            options+=("--$name" 1)
        done
        stress-ng --seed "$RANDOM" --timeout 1 --verify --oomable --temp-path /tmp \
            "${options[@]}" 2>&1 < /dev/null
    done
done
