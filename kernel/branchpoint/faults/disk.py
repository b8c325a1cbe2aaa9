"""Faults of a container's disks, as shell scripts of the guest.

Its disks are file systems in memory: its writable layer and the volumes that it may write to. They
are never slow by themselves, so the container's system calls on them are delayed.
"""

from __future__ import annotations

from collections.abc import Iterable

from branchpoint.faults.limits import GROUPS, LOWEST
from branchpoint.faults.network import LOCKED, STATE

DELAYED = (
    "openat,creat,fsync,fdatasync,sync_file_range,msync,pread64,preadv,pwrite64,pwritev,"
    "truncate,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,getdents64"
)
"""System calls that wait for a disk and work on files only; read and write also work on pipes and
sockets."""


def fill(disks: Iterable[str], left: str) -> str:
    """Begin: leave only ``left`` free bytes on disks, by shrinking them to their content.

    Nothing is written, as that would cost memory. Space that a container frees can be used again.
    An empty disk keeps one block, because a size of 0 would mean no limit.
    """
    return f"""\
{_disks()}\
for m in {" ".join(disks)}; do
    disk $m
    mkdir -p $d
    set -- $(stat -f -c '%b %f %S' $m)
    [ -e $d/own ] || echo $(($1 * $3)) > $d/own
    s=$((($1 - $2) * $3 + {left}))
    echo $((s > $3 ? s : $3)) > $d/fault.{{id}}
    lowest
    mount -o remount,size=$l $m || {{ forget; exit 1; }}
done
"""


def unfill(disks: Iterable[str]) -> str:
    """End what :func:`fill` began."""
    return f"""\
{_disks()}\
for m in {" ".join(disks)}; do
    disk $m
    [ -e $d/fault.{{id}} ] || continue
    rm $d/fault.{{id}}
    lowest
    mount -o remount,size=$l $m
    forget
done
true
"""


def _disks() -> str:
    names = "d=${1#/}; d=" + STATE + "/disk/$(echo $d | tr / :)"
    return f"{LOCKED}{LOWEST}disk() {{ {names}; }}\n"


def slow(name: str, delay: str) -> str:
    """Begin: delay each of :data:`DELAYED` (µs) in a container's processes and their children."""
    return f"""\
{LOCKED}\
s={STATE}/slow.{{id}}
set -- $(cat {GROUPS}/branchpoint/{name}/cgroup.procs 2> /dev/null)
[ $# != 0 ] || {{ echo "{name} is not running" >&2; exit 1; }}
mkdir -p {STATE}
c={DELAYED}
setsid strace -f -qqq -o /dev/null -e signal=none -e trace=$c -e inject=$c:delay_enter={delay} \\
    -p "$*" < /dev/null > $s.said 2>&1 9<&- &
echo $! > $s
until grep -q "^TracerPid:.*[1-9]" /proc/$1/status; do
    kill -0 $! || {{ cat $s.said >&2; exit 1; }}
    sleep 0.001
done
"""


UNSLOW = f"""\
{LOCKED}\
s={STATE}/slow.{{id}}
[ -e $s ] || exit 0
kill -9 $(cat $s)
while [ -e /proc/$(cat $s)/exe ]; do sleep 0.001; done
rm -f $s $s.said
rmdir {STATE} 2> /dev/null
true
"""


def disks(name: str, volumes: Iterable[str]) -> list[str]:
    """Where a container's writable layer and its volumes lie in the guest."""
    return [f"/run/branchpoint/c/{name}/rw", *(f"/run/branchpoint/v/{v}" for v in volumes)]
