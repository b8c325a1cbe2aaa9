"""What the tests of faults share: a view of everything that a fault may leave behind."""

from __future__ import annotations

import branchpoint as bp

_LEFT = r"""
exec 2>&1
tc qdisc show; tc filter show; nft list ruleset; ip addr; ip route show table all; ip rule
for n in $(ip netns list | cut -d' ' -f1 | sort); do
    echo "== network $n"
    tc -n $n qdisc show; ip -n $n addr; ip -n $n route; ip netns exec $n nft list ruleset
done
echo "== groups"
cd /sys/fs/cgroup
for g in $(find . -type d | sort); do
    echo $g
    for f in $g/*.max $g/*.high $g/*.low $g/*.min $g/cgroup.freeze $g/*.weight $g/cpu.idle; do
        [ ! -f $f ] || echo $f $(<$f)
    done
done
echo "== processes"
# Containers' own children may be dead at this very instant; they are in no group then.
found=$(ps --ppid 2 -p 2 -N -o stat,cgroup:80,comm |
    awk '!($1 ~ /^Z/ && $3 == "busybox") { print $2, $3 }')
echo "$found" | grep -v branchpoint/ | sort | uniq -c
echo "$found" | grep branchpoint/ | sort -u
grep -hs TracerPid /proc/[0-9]*/status | sort -u
echo "== files"
find /run/branchpoint -maxdepth 3 -not -path '*/crun/*' | sort
ls /tmp /root /run
grep branchpoint /proc/mounts | sort
stat -f -c '%n %b %f %S' /run/branchpoint/c/*/rw /run/branchpoint/v/*
echo "== clock"
grep offset: /proc/timer_list
"""


def left(branch: bp.Branch) -> list[str]:
    """Networks, control groups, processes, files, disks and clock of the machine at the tip."""
    found = bp.bash(_LEFT).run(branch)
    assert found.exit_code == 0
    return found.output.splitlines()


def begins(branch: bp.Branch) -> list[str]:
    """The types of the faults that have begun, in order."""
    return [event.fields["type"] for event in branch.events.where(type="fault.start")]
