"""Faults of a container's share of processor and memory, as shell scripts of the guest.

While faults last, a limit is the lowest of the container's own and those that its faults set. The
first fault saves the container's own limit, the last one to end restores it. A container that is
restarted, or upgraded, meanwhile starts with limits of its own, which stay: its control group is
another one then.
"""

from __future__ import annotations

from branchpoint.faults.network import LOCKED, STATE

GROUPS = "/sys/fs/cgroup"
_STARTED = "/run/branchpoint/crun/{name}.pid"
"""Written when the runtime has started the container: its control group is there before, without
the container's own limits."""

LOWEST = """\
lowest() { # in $d: what all faults come to, as `l` and what comes after it as `rest`
    read -r l rest < $d/own
    for f in $d/fault.*; do
        [ -e $f ] || continue
        read -r v < $f
        [ $l != max ] && [ $l -le $v ] || l=$v
    done
}
forget() { # the fault; and all, if it was the last one
    rm -f $d/fault.{id}
    set -- $d/fault.*
    [ -e $1 ] || { rm -r $d; rmdir -p ${d%/*} 2> /dev/null; }
}
"""


def _group(name: str, file: str) -> str:
    return f"""\
{LOCKED}{LOWEST}\
g={GROUPS}/branchpoint/{name}
d={STATE}/{file}/{name}
"""


def _limit(name: str, file: str, value: str) -> str:
    """Begin to limit; ``value`` is a shell expression that may use the container's own limit,
    ``$l`` and ``$rest``.
    """
    return f"""\
{_group(name, file)}\
[ -e $g/{file} ] && [ -s {_STARTED.format(name=name)} ] || {{
    echo "{name} is not running" >&2; exit 1
}}
mkdir -p $d
[ "$(cat $d/group 2> /dev/null)" = $(stat -c %i $g) ] || {{
    rm -f $d/fault.*
    cat $g/{file} > $d/own
    stat -c %i $g > $d/group
}}
read -r l rest < $d/own
echo {value} > $d/fault.{{id}}
lowest
echo "$l $rest" > $g/{file}
"""


def unlimit(name: str, file: str) -> str:
    """End a limit; ``file`` is ``cpu.max`` or ``memory.high``."""
    return f"""\
{_group(name, file)}\
[ -e $d/fault.{{id}} ] || exit 0
rm $d/fault.{{id}}
lowest
[ "$(cat $d/group)" != "$(stat -c %i $g 2> /dev/null)" ] || echo "$l $rest" > $g/{file}
forget
true
"""


def throttle(name: str, share: str) -> str:
    """Begin to give a container only a share (ppm) of the processor."""
    return _limit(name, "cpu.max", f"$(({share} * rest / 1000000))")


def squeeze(name: str, share: str) -> str:
    """Begin to reclaim the memory that a container uses beyond a share (ppm) of its present use."""
    return _limit(name, "memory.high", f"$(($(cat $g/memory.current) * {share} / 1000000))")


def contend(share: str) -> str:
    """Begin to keep the processor busy: a loop takes a share (ppm) from all containers."""
    return f"""\
set -e
g={GROUPS}/fault-{{id}}
mkdir $g
echo $((({share} * 100 + 999999 - {share}) / (1000000 - {share}))) > $g/cpu.weight
echo $$ > $g/cgroup.procs
exec chrt -o 0 setsid -f sh -c 'while :; do :; done' < /dev/null > /dev/null 2>&1
"""


UNCONTEND = f"""\
g={GROUPS}/fault-{{id}}
[ -d $g ] || exit 0
echo 1 > $g/cgroup.kill
until rmdir $g 2> /dev/null; do sleep 0.001; done
"""
