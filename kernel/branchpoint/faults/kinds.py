"""Every kind of fault: what it does, its parameters, what it can hit, its actions in the guest.

An action is what the agent carries out: ``container VERB NAME``, ``names VERB NAME {id}``,
``clock NS`` or ``sh SCRIPT``. In it ``{id}`` stands for the fault's own name and ``{parameter}``
for a parameter's value, a whole number in the parameter's unit. The actions that end a fault may be
carried out twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from branchpoint.faults import disk, limits, network

GUEST = "(guest)"
"""The label of the machine itself, for faults that hit no single container; no container has it."""
FOREVER = 1 << 61
"""Length in ns of a fault that lasts until it is healed."""

Unit = Literal["ns", "us", "ppm", "bytes", "choice"]


class Link(Protocol):
    """A container's place in a network."""

    @property
    def veth(self) -> str:
        """Its end of the link in the guest."""


class ContainerLike(Protocol):
    """What a fault needs to know of a container."""

    @property
    def name(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def links(self) -> Sequence[Link]: ...
    @property
    def volumes(self) -> Sequence[str]:
        """Names of the volumes that it may write to."""

    @property
    def versions(self) -> Sequence[str]:
        """Names of the services that it may become."""


@dataclass(frozen=True)
class Parameter:
    """How strong a fault is: ``low`` to ``high`` by default, ``least`` to ``most`` are allowed."""

    name: str
    unit: Unit
    low: int
    high: int
    least: int
    most: int
    sentence: str


@dataclass(frozen=True)
class Target:
    """One thing that a fault may hit: its label, and the actions for it."""

    label: str
    begin: str
    end: str


@dataclass(frozen=True)
class Kind:
    """A kind of fault.

    ``every`` is the default mean time between two (ns), ``shortest`` and ``longest`` the default
    bounds of how long one lasts (ns). ``lasts``: it must end, it may end, or it never lasts (it is
    over at once). ``aim`` makes the target for a label.
    """

    name: str
    sentence: str
    hits: Literal["containers", "links", "groups", "versions", "guest"]
    aim: Callable[[str, Sequence[ContainerLike]], Target]
    parameters: tuple[Parameter, ...] = ()
    lasts: Literal["must", "may", "never"] = "must"
    every: int = 30 * 10**9
    shortest: int = 10**9
    longest: int = 10 * 10**9

    def labels(self, containers: Iterable[ContainerLike]) -> list[str]:
        """What it may hit in a system by default."""
        if self.hits == "guest":
            return [GUEST]
        if self.hits == "versions":
            return [version_label(c.name, version) for c in containers for version in c.versions]
        linked = self.hits in ("links", "groups")
        return [c.name for c in containers if c.links or not linked]


def find(name: str, containers: Iterable[ContainerLike]) -> ContainerLike:
    """The container of that full name, which is known to exist."""
    return next(c for c in containers if c.name == name)


def _veths(containers: Iterable[ContainerLike]) -> list[str]:
    return [link.veth for container in containers for link in container.links]


def _verb(begin: str, end: str = "") -> Callable[[str, Sequence[ContainerLike]], Target]:
    def aim(label: str, containers: Sequence[ContainerLike]) -> Target:
        return Target(label, f"container {begin.format(label)}",
                      f"container {end.format(label)}" if end else "")  # fmt: skip

    return aim


def _shape(**settings: str) -> Callable[[str, Sequence[ContainerLike]], Target]:
    def aim(label: str, containers: Sequence[ContainerLike]) -> Target:
        veths = _veths([find(label, containers)])
        begin, end = network.shape(veths, **settings), network.unshape(veths)
        return Target(label, f"sh {begin}", f"sh {end}")

    return aim


def _loss(label: str, containers: Sequence[ContainerLike]) -> Target:
    veths = _veths([find(label, containers)])
    return Target(label, f"sh {network.lose(veths, '{share}')}", f"sh {network.UNTABLE}")


def _names(verb: str) -> Callable[[str, Sequence[ContainerLike]], Target]:
    def aim(label: str, containers: Sequence[ContainerLike]) -> Target:
        return Target(label, f"names {verb.format(label)}", f"names heal {label} {{id}}")

    return aim


def groups(label: str) -> tuple[list[str], list[str]]:
    """The names on both sides of a partition ``a,b|c``; an empty second list means all others."""
    ours, _, theirs = label.partition("|")
    return ours.split(","), theirs.split(",") if theirs else []


def _partition(label: str, containers: Sequence[ContainerLike]) -> Target:
    ours, theirs = ([find(name, containers) for name in side] for side in groups(label))
    begin = network.part(_veths(ours), _veths(theirs), "{one_way}")
    return Target(label, f"sh {begin}", f"sh {network.UNTABLE}")


def version_label(container: str, version: str) -> str:
    """The label of a container that becomes another version."""
    return f"{container}>{version}"


def versions(label: str) -> tuple[str, str]:
    """The container and what it becomes, of such a label."""
    name, _, version = label.partition(">")
    return name, version


def _upgrade(label: str, containers: Sequence[ContainerLike]) -> Target:
    name, version = versions(label)
    back = find(name, containers).service
    begin, end = (f"container become {name} {which}" for which in (version, back))
    return Target(label, begin, end)


def _throttle(label: str, containers: Sequence[ContainerLike]) -> Target:
    begin, end = limits.throttle(label, "{share}"), limits.unlimit(label, "cpu.max")
    return Target(label, f"sh {begin}", f"sh {end}")


def _memory(label: str, containers: Sequence[ContainerLike]) -> Target:
    begin, end = limits.squeeze(label, "{share}"), limits.unlimit(label, "memory.high")
    return Target(label, f"sh {begin}", f"sh {end}")


def _cpu(label: str, containers: Sequence[ContainerLike]) -> Target:
    return Target(label, f"sh {limits.contend('{share}')}", f"sh {limits.UNCONTEND}")


def _clock(label: str, containers: Sequence[ContainerLike]) -> Target:
    return Target(label, "clock {step}", "clock -{step}")


def _disk_full(label: str, containers: Sequence[ContainerLike]) -> Target:
    disks = disk.disks(label, find(label, containers).volumes)
    return Target(label, f"sh {disk.fill(disks, '{left}')}", f"sh {disk.unfill(disks)}")


def _slow_disk(label: str, containers: Sequence[ContainerLike]) -> Target:
    return Target(label, f"sh {disk.slow(label, '{delay}')}", f"sh {disk.UNSLOW}")


_MS, _SECOND, _PERCENT = 1_000, 10**9, 10_000  # µs, ns, ppm
_HOUR = 3600 * _SECOND


def _time(name: str, low: int, high: int, sentence: str) -> Parameter:
    return Parameter(name, "us", low, high, 0, 3600 * 1000 * _MS, sentence)


def _share(low: int, high: int, most: int, sentence: str, least: int = 1) -> Parameter:
    """Per cent, but ``least``, which is in parts per million."""
    most *= _PERCENT
    return Parameter("share", "ppm", low * _PERCENT, high * _PERCENT, least, most, sentence)


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "partition",
            "Two groups of containers cannot reach each other; packets between them vanish.",
            "groups",
            _partition,
            (
                Parameter(
                    "one_way", "choice", 0, 0, 0, 2,
                    "in a compose file never (both ways), always (one way, either one) or "
                    "sometimes; in Python one_way=True loses what goes from a to b",
                ),
            ),
        ),
        Kind(
            "latency",
            "Packets to a container arrive late, so its requests and its answers take longer.",
            "links",
            _shape(delay="{delay}", jitter="{jitter}"),
            (
                _time("delay", 10 * _MS, 500 * _MS, "by how much packets are late"),
                _time("jitter", 0, 50 * _MS, "random variation of it; may reorder packets"),
            ),
        ),
        Kind(
            "loss",
            "Some packets to and from a container are lost.",
            "links",
            _loss,
            (_share(1, 30, 100, "how many of them, each way"),),
        ),
        Kind(
            "duplicate",
            "Some packets to a container arrive twice.",
            "links",
            _shape(duplicate="{share}"),
            (_share(1, 30, 100, "how many of them"),),
        ),
        Kind(
            "reorder",
            "Packets to a container are late, but some of them overtake the others.",
            "links",
            _shape(delay="{delay}", reorder="{share}"),
            (
                _share(5, 50, 100, "how many of them overtake"),
                Parameter(
                    "delay", "us", 5 * _MS, 50 * _MS, 1, 3600 * 1000 * _MS,
                    "by how much all others are late",
                ),
            ),
        ),
        Kind(
            "clog",
            "Packets to a container are held back, and all arrive at once at the end.",
            "links",
            _shape(clog="1"),
        ),
        Kind(
            "dns_slow",
            "A container waits longer for each answer of its name server.",
            "links",
            _names("slow {0} {{id}} {{delay}}"),
            (_time("delay", 100 * _MS, 3000 * _MS, "by how much answers are late"),),
        ),
        Kind(
            "dns_fail",
            "A container's name server answers each question with an error (SERVFAIL).",
            "links",
            _names("fail {0} {{id}}"),
        ),
        Kind(
            "dns_silent",
            "A container's name server does not answer.",
            "links",
            _names("silence {0} {{id}}"),
        ),
        Kind(
            "dns_stale",
            "A container's name server goes on answering what was true at the beginning.",
            "links",
            _names("keep {0} {{id}}"),
        ),
        Kind(
            "kill",
            "A container is killed; its restart policy decides, or it starts again at the end.",
            "containers",
            _verb("kill {0} 9", "start {0}"),
            lasts="may",
            shortest=0,
            longest=0,
        ),
        Kind(
            "stop",
            "A container is stopped (it can shut down cleanly) and starts again at the end.",
            "containers",
            _verb("stop {0}", "start {0}"),
        ),
        Kind(
            "restart",
            "A container is stopped (it can shut down cleanly) and starts again at once.",
            "containers",
            _verb("restart {0}"),
            lasts="never",
            shortest=0,
            longest=0,
        ),
        Kind(
            "upgrade",
            "A container is replaced by another version of it, and becomes the first again at the "
            "end; its volumes stay.",
            "versions",
            _upgrade,
            lasts="may",
            every=60 * _SECOND,
            shortest=0,
            longest=0,
        ),
        Kind(
            "freeze",
            "All processes of a container are paused, and then go on as if nothing had happened.",
            "containers",
            _verb("pause {0}", "unpause {0}"),
        ),
        Kind(
            "throttle",
            "A container gets only a small share of the processor.",
            "containers",
            _throttle,
            (
                _share(
                    2, 20, 100, "how much of the one processor it gets, in periods of 100 ms",
                    least=_PERCENT,  # Linux gives 1 ms of a period at least
                ),
            ),
        ),
        Kind(
            "clock",
            "The wall clock of the whole machine jumps, and jumps back at the end.",
            "guest",
            _clock,
            (
                Parameter(
                    "step", "ns", -60 * _SECOND, 60 * _SECOND, -24 * 365 * _HOUR, 24 * 365 * _HOUR,
                    "how far: ahead, or back when negative",
                ),
            ),
            lasts="may",
        ),
        Kind(
            "disk_full",
            "There is no space left on the disks that a container can write to.",
            "containers",
            _disk_full,
            (Parameter("left", "bytes", 0, 0, 0, 1 << 40, "how many bytes are left"),),
        ),
        Kind(
            "slow_disk",
            "Opening, fsync, pread, pwrite, rename and the like are delayed for a container; plain "
            "read and write are not.",
            "containers",
            _slow_disk,
            (_time("delay", 5 * _MS, 100 * _MS, "by how much each of them is delayed"),),
        ),
        Kind(
            "cpu",
            "Something else keeps the processor busy, so all containers are slower.",
            "guest",
            _cpu,
            (_share(50, 95, 99, "how much of it, when containers want all of it"),),
        ),
        Kind(
            "memory",
            "A container may use less memory than it has in use; it waits while some is reclaimed.",
            "containers",
            _memory,
            (_share(60, 95, 100, "how much of the memory in use at the beginning it may keep"),),
        ),
    )
}  # fmt: skip
"""By name, in the order in which they are shown."""
