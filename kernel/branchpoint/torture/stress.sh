#!/bin/bash
# stress.sh SEED NAME...: all stressors of stress-ng but those named here, a few at a time, in an
# order that the seed gives; then again in another.
seed=$1
shift
mapfile -t known < <(stress-ng --stressors | tr ' ' '\n' | grep .)
skipped=" $* "
for ((round = 1; ; round++)); do
    RANDOM=$((seed + round))
    order=()
    for name in "${known[@]}"; do
        [[ $skipped == *" $name "* ]] || order+=("$RANDOM $name")
    done
    mapfile -t order < <(printf '%s\n' "${order[@]}" | sort -n | cut -d' ' -f2)
    echo "round $round: ${#order[@]} of ${#known[@]} stressors"
    for ((first = 0; first < ${#order[@]}; first += 6)); do
        options=()
        for name in "${order[@]:first:6}"; do
            options+=("--$name" 1)
        done
        stress-ng --seed $((seed + round)) --timeout 1 --verify --oomable --temp-path /tmp \
            "${options[@]}" 2>&1 < /dev/null
    done
done
