"""Faults of the network, as shell scripts of the guest.

All act on the guest's side of a container's links (``veth0.0``, ...) and on its bridges, so that a
container sees only what a bad network shows: packets that are late, lost or duplicated.

The decision for each packet comes from the kernel's random pool: for loss directly, by nft; for the
rest by netem, whose own generator is seeded from the pool whenever its settings change. After a new
seed the agent runs :data:`RESEED`, which seeds netem again.
"""

from __future__ import annotations

from collections.abc import Iterable

STATE = "/run/branchpoint/faults"
"""Where active faults keep what they need to end; empty when there are none."""
RESEED = f"{STATE}/reseed"
"""A script that exists while the guest has a random generator that a new seed does not reach."""

LOCKED = "exec 9< /run/branchpoint; flock 9\n"
"""From here on, scripts of other faults wait until this one ends."""

# A link's faults are files in a directory of its own, each with what it adds: delay and jitter
# (µs), shares of doubled and overtaking packets (ppm), and 1 to hold all packets back. One netem
# applies their sum; a plug inside it holds packets back. A link without faults has no qdisc.
_LINKS = f"""\
r={STATE}/net
total() {{ # LINK: what its faults come to, in a b c d e
    a=0 b=0 c=0 d=0 e=0
    for f in $r/$1/fault.*; do
        [ -e $f ] || continue
        read -r v w x y z < $f
        a=$((a + v)) b=$((b + w)) c=$((c + x)) d=$((d + y)) e=$((e + z))
    done
}}
share() {{ # PPM: as tc wants it
    [ $1 -le 1000000 ] || set 1000000
    printf %d.%04d%% $(($1 / 10000)) $(($1 % 10000))
}}
apply() {{ # LINK
    total $1
    o=
    [ $d = 0 ] || o="reorder $(share $d)"
    o="delay ${{a}}us ${{b}}us duplicate $(share $c) $o"
    echo "qdisc replace dev $1 root handle 1: netem limit 100000 $o" > $r/$1/tc
    tc $(< $r/$1/tc) seed $SRANDOM
    if [ $e != 0 ] && [ ! -e $r/$1/plug ]; then
        : > $r/$1/plug
        tc qdisc add dev $1 parent 1:1 handle 2: plug limit 1000000000
    elif [ $e = 0 ] && [ -e $r/$1/plug ]; then
        tc qdisc change dev $1 parent 1:1 handle 2: plug release_indefinite
        drained $1 plug
        tc qdisc del dev $1 parent 1:1
        rm $r/$1/plug
    fi
}}
drained() {{ # LINK KIND: wait until that qdisc holds nothing back
    while tc -s qdisc show dev $1 | grep -A 2 "^qdisc $2 " | grep -q 'backlog [0-9]*b [1-9]'; do
        sleep 0.005
    done
}}
"""
_RESEED = f"for t in {STATE}/net/*/tc; do echo $(< $t) seed $SRANDOM; done | tc -batch -"


def shape(
    links: Iterable[str],
    delay: str = "0",
    jitter: str = "0",
    duplicate: str = "0",
    reorder: str = "0",
    clog: str = "0",
) -> str:
    """Begin to disturb the packets to a container.

    ``delay`` and ``jitter`` are in µs, ``duplicate`` and ``reorder`` in ppm, ``clog`` is 0 or 1.
    """
    return f"""\
set -e
{LOCKED}{_LINKS}\
mkdir -p $r
echo '{_RESEED}' > {RESEED}
for l in {" ".join(links)}; do
    mkdir -p $r/$l
    echo {delay} {jitter} {duplicate} {reorder} {clog} > $r/$l/fault.{{id}}
    apply $l
done
"""


def unshape(links: Iterable[str]) -> str:
    """End what :func:`shape` began. Packets on their way arrive; then the link is as before."""
    names = " ".join(links)
    return f"""\
{LOCKED}{_LINKS}\
t=0
for l in {names}; do
    [ -e $r/$l/fault.{{id}} ] || continue
    total $l
    [ $((a + b)) -le $t ] || t=$((a + b))
    rm $r/$l/fault.{{id}}
    apply $l
done
flock -u 9
sleep $((t / 1000000)).$(printf %06d $((t % 1000000)))
flock 9
for l in {names}; do
    [ -d $r/$l ] || continue
    set -- $r/$l/fault.*
    [ ! -e $1 ] || continue
    drained $l netem
    tc qdisc del dev $l root
    rm -r $r/$l
done
rmdir $r 2> /dev/null && rm -f {RESEED} && rmdir {STATE} 2> /dev/null
true
"""


def lose(links: Iterable[str], share: str) -> str:
    """Begin to lose a share (ppm) of the packets to and from a container."""
    names = ", ".join(links)
    less = f"meta random < $(({share} * 4294967295 / 1000000)) drop"
    return _table(f"iifname {{ {names} }} {less}", f"oifname {{ {names} }} {less}")


def part(ours: Iterable[str], theirs: Iterable[str], one_way: str) -> str:
    """Begin to keep two groups of links apart; an empty ``theirs`` means all other links.

    ``one_way``: 0 both ways, 1 nothing gets from ours to theirs, 2 nothing from theirs to ours.
    """
    a, others = f"{{ {', '.join(ours)} }}", ", ".join(theirs)
    b = f"{{ {others} }}" if others else f"!= {a}"
    there, back = f"iifname {a} oifname {b}", f"iifname {b} oifname {a}"
    return _table(
        f"$([ {one_way} = 2 ] || echo '{there} drop')",
        f"$([ {one_way} = 1 ] || echo '{back} drop')",
    )


def _table(*rules: str) -> str:
    """An nft table of this fault, for packets that a bridge forwards from link to link."""
    lines = "\n".join(f"        {rule}" for rule in rules)
    return f"""\
nft -f - << END
table bridge fault-{{id}} {{
    chain forward {{
        type filter hook forward priority 0
{lines}
    }}
}}
END
"""


UNTABLE = "nft delete table bridge fault-{id} 2> /dev/null; true\n"
"""End what :func:`lose` or :func:`part` began."""
