"""``branch.faults``: the faults of a branch, drawn by the guest or asked for by its user.

A fault asked for begins at the branch's tip: when the guest's agent next reads its mailbox (every
10 virtual ms), plus a few ms for its script. Its two events tell the exact instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from branchpoint.clock import Duration, format_vtime
from branchpoint.decoding import whole
from branchpoint.errors import BranchpointError
from branchpoint.faults import plan as plans
from branchpoint.faults.kinds import FOREVER, GUEST, KINDS, Target
from branchpoint.faults.reading import Reader, read
from branchpoint.faults.settings import NOTHING, Settings
from branchpoint.guest import wire
from branchpoint.store.manifest import ContainerFacts, Input
from branchpoint.timeline.moment import duration
from branchpoint.timeline.replaying.history import FAULT, SETUP, History

if TYPE_CHECKING:
    from branchpoint.timeline.branch import Branch

Names: TypeAlias = str | Sequence[str]
"""Names of containers, or patterns such as ``"node*"``."""
Share: TypeAlias = float | str
"""A share from 0 to 1, or a text such as ``"10%"``."""
_PLAN, _DIRECT = b"faults\0", b"fault\0b"


def named(given: Input) -> str:
    """The id of the fault that an input begins, or heals by its id; "" for all other inputs."""
    word, _, rest = given.data.partition(b"\0")
    return rest.partition(b"\0")[0].decode(errors="replace") if word in (b"fault", b"heal") else ""


def plan(
    at: int, settings: Settings, containers: Sequence[ContainerFacts], kind: str = SETUP
) -> Input:
    """The input that makes the guest draw faults by these settings."""
    names = ", ".join(dict.fromkeys(one.kind for one in settings.drawn)) or "none"
    data = wire.plan(plans.compile_plan(settings, containers))
    return Input(at=at, kind=kind, data=data, note=f"faults that may happen: {names}")


@dataclass(frozen=True)
class Fault:
    """A fault that was asked for in a branch; its events have its ``id``."""

    branch: Branch
    id: str
    kind: str
    target: str

    def heal(self) -> None:
        """End it at the branch's tip, if it has not ended by itself."""
        self.branch.faults._tell(wire.heal(self.id), f"heal {self.kind} of {self.target}")

    def __repr__(self) -> str:
        return f"<fault {self.id}: {self.kind} of {self.target}>"


class Faults:
    """What goes wrong in a branch: ``branch.faults``.

    Each kind of fault is a method; the fault begins at the branch's tip. A container is given by
    its full name, or by the name of its service if that has one container. ``for_`` is how long the
    fault lasts (virtual seconds, a Time, ``"500ms"``); without it, most faults last until they are
    healed. ``kill``, ``restart`` and ``upgrade``, and a ``command`` without ``heal``, are over at
    once, and there is nothing to heal. Give ``kill`` a ``for_`` if the container must come back;
    upgrade to its own service to go back. Faults add up, on one container, too; when the last one
    ends, everything is as it was.

    All of them raise BranchpointError when a container does not exist or a value is out of bounds.
    """

    def __init__(self, branch: Branch) -> None:
        self._branch = branch

    # -- the network

    def partition(
        self,
        a: Names,
        b: Names | None = None,
        *,
        one_way: bool = False,
        for_: Duration | None = None,
    ) -> Fault:
        """Containers ``a`` cannot reach ``b`` (default: all others), nor ``b`` reach ``a``.

        Both are a name, a pattern such as ``"node*"``, or a list of them. ``one_way``: only what
        goes from ``a`` to ``b`` is lost. Open connections stay open and get no error.
        """
        return self._begin("partition", [a] if b is None else [a, b], for_, one_way=int(one_way))

    def latency(
        self,
        container: str,
        delay: Duration = 0.1,
        jitter: Duration = 0,
        *,
        for_: Duration | None = None,
    ) -> Fault:
        """Every packet to a container is ``delay`` late (seconds), plus or minus ``jitter``.

        Its round trips with all others take that much longer. Jitter is drawn for each packet, so
        packets may overtake each other.
        """
        return self._begin("latency", container, for_, delay=delay, jitter=jitter)

    def loss(self, container: str, share: Share = 0.1, *, for_: Duration | None = None) -> Fault:
        """A ``share`` (of 1, or ``"10%"``) of the packets to and from a container is lost."""
        return self._begin("loss", container, for_, share=share)

    def duplicate(
        self, container: str, share: Share = 0.1, *, for_: Duration | None = None
    ) -> Fault:
        """A ``share`` (of 1, or ``"10%"``) of the packets to a container arrives twice."""
        return self._begin("duplicate", container, for_, share=share)

    def reorder(
        self,
        container: str,
        share: Share = 0.25,
        delay: Duration = 0.01,
        *,
        for_: Duration | None = None,
    ) -> Fault:
        """Packets to a container are ``delay`` late (seconds), but a ``share`` of them is not."""
        return self._begin("reorder", container, for_, share=share, delay=delay)

    def clog(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Packets to a container are held back; at the end all of them arrive, at once."""
        return self._begin("clog", container, for_)

    def dns_slow(
        self, container: str, delay: Duration = 1, *, for_: Duration | None = None
    ) -> Fault:
        """Each answer of a container's name server is ``delay`` late (seconds).

        Programs ask again, or give up, after a time of their own: 5 s with most C libraries.
        """
        return self._begin("dns_slow", container, for_, delay=delay)

    def dns_fail(self, container: str, *, for_: Duration | None = None) -> Fault:
        """A container's name server answers each question with an error (SERVFAIL)."""
        return self._begin("dns_fail", container, for_)

    def dns_silent(self, container: str, *, for_: Duration | None = None) -> Fault:
        """A container's name server does not answer; it takes connections, but says nothing."""
        return self._begin("dns_silent", container, for_)

    def dns_stale(self, container: str, *, for_: Duration | None = None) -> Fault:
        """A container's name server goes on answering what is true now.

        Containers that end keep their names, and those that start get none, until it is over.
        """
        return self._begin("dns_stale", container, for_)

    # -- containers

    def kill(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Kill a container (SIGKILL). With ``for_``, it is started after that time.

        Its restart policy applies, and may start it earlier; see :meth:`stop` to prevent that.
        """
        return self._begin("kill", container, 0 if for_ is None else for_)

    def stop(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Stop a container as ``docker stop`` does, despite its restart policy; then start it."""
        return self._begin("stop", container, for_)

    def restart(self, container: str) -> Fault:
        """Stop a container as ``docker restart`` does, and start it at once."""
        return self._begin("restart", container, 0)

    def upgrade(self, container: str, to: str, *, for_: Duration | None = None) -> Fault:
        """Replace a container by another version of it, as ``docker compose up`` does.

        ``to`` is one of the services that the container's service lists as ``versions`` in its
        ``x-branchpoint``, or its own service to go back. The container is stopped, gets the image
        and the settings of that service with a file system made anew, and starts. Its name, its
        volumes and its networks stay. With ``for_`` it is rolled back after that time.
        """
        return self._begin("upgrade", container, 0 if for_ is None else for_, to)

    def freeze(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Pause all processes of a container; all that they can notice is the time that passed."""
        return self._begin("freeze", container, for_)

    def throttle(
        self, container: str, share: Share = 0.1, *, for_: Duration | None = None
    ) -> Fault:
        """A container gets only a ``share`` (of 1, or ``"10%"``) of the processor.

        It is a quota per 100 ms, like ``cpus`` in a compose file; a lower ``cpus`` there stays
        in force.
        """
        return self._begin("throttle", container, for_, share=share)

    def memory(self, container: str, share: Share = 0.8, *, for_: Duration | None = None) -> Fault:
        """A container may use only a ``share`` of the memory that it uses now.

        The kernel reclaims what it can of the rest. When the container allocates more, it has to
        wait (``memory.high``), sometimes for seconds. It is not killed.
        """
        return self._begin("memory", container, for_, share=share)

    # -- disks

    def disk_full(
        self, container: str, left: int | str = 0, *, for_: Duration | None = None
    ) -> Fault:
        """A container's disks are full except for ``left`` (bytes, ``"64k"``): writes get ENOSPC.

        Its disks are its writable layer and the named volumes that it may write to; other
        containers that share these volumes are affected, too. A disk shrinks to the size of its
        content (4 KiB when empty), so space of removed files can be used again, and ``df`` shows a
        smaller disk.
        """
        return self._begin("disk_full", container, for_, left=left)

    def slow_disk(
        self, container: str, delay: Duration = 0.02, *, for_: Duration | None = None
    ) -> Fault:
        """A container waits ``delay`` (seconds) before each operation on its files.

        Delayed are opening, creating, fsync and similar calls, reads and writes at an offset
        (pread, pwrite), truncating, allocating, renaming, linking, removing, listing. Not delayed
        are plain read and write (sockets and pipes use them, too), mapped files, and processes that
        are not children of the container's own, such as health checks. Files of /proc and /dev are
        delayed like all others. strace does this: all other system calls take about 10 µs longer,
        the processes can see that they are traced, and only one such fault, or one debugger, can be
        on them at a time.
        """
        return self._begin("slow_disk", container, for_, delay=delay)

    # -- the machine

    def clock(self, step: Duration, *, for_: Duration | None = None) -> Fault:
        """The wall clock of the whole machine jumps by ``step`` (seconds; below 0: back).

        After ``for_`` it jumps back by the same step; without ``for_``, it stays wrong until it is
        healed. Monotonic clocks, and with them timeouts, are not affected.
        """
        return self._begin("clock", GUEST, for_, step=step)

    def cpu(self, share: Share = 0.8, *, for_: Duration | None = None) -> Fault:
        """Something else takes a ``share`` (of 1, or ``"80%"``) of the processor.

        Containers that are busy share the rest; idle ones notice nothing.
        """
        return self._begin("cpu", GUEST, for_, share=share)

    def command(
        self, run: str, container: str = "", *, heal: str = "", for_: Duration | None = None
    ) -> Fault:
        """Run a shell script of your own as a fault, in a container or in the guest itself.

        ``heal`` is run in the same place at the end. In both, ``{id}`` is the fault's id.
        """
        if for_ is not None and not heal:
            raise BranchpointError(
                "a command without heal= is over at once: for_= says nothing of it",
                "give heal=, a script that undoes it, or leave for_= out",
            )
        reader = self._reader
        label = reader.target(KINDS["kill"], container, ()) if container else GUEST
        target = plans.command(label, run, heal)
        return self._send("command", target, {}, self._length(for_) if heal else 0)

    # -- all of them

    def heal(self) -> None:
        """End all active faults at the branch's tip, also those that the guest drew."""
        self._tell(wire.heal(), "heal all faults")

    def pause(self) -> None:
        """The guest begins no more faults of its own; active ones end. Its draws go on unseen."""
        self._tell(wire.injector("pause"), "no faults from here on")

    def unpause(self) -> None:
        """The guest begins faults of its own again: the same as if there had been no pause."""
        self._tell(wire.injector("unpause"), "faults may happen again")

    def skip(self, number: int) -> None:
        """Skip the fault that the guest draws with this number; all others still happen."""
        self._tell(wire.injector("skip", number), f"skip fault {number}")

    @property
    def settings(self) -> Settings:
        """Which faults the guest draws from the tip on; print it to see them.

        Set it to change them: to other settings, or to a mapping with the keys of a compose file,
        such as ``{"kill": {"every": 10, "for": (1, 5), "exclude": "client"}}``. Faults are then
        drawn anew from the tip on; active ones end in their time.

        :raises BranchpointError: when a kind, a container or a parameter does not exist, or a value
            is out of bounds.
        """
        history = self._branch._history
        for given in reversed(history.inputs[: history.tip.count]):
            if given.data.startswith(_PLAN):
                text = given.data.removeprefix(_PLAN).removesuffix(b"\0")
                return plans.read_plan(text.decode(errors="replace"))
        return NOTHING

    @settings.setter
    def settings(self, new: Settings | dict[str, Any]) -> None:
        if not isinstance(new, Settings):
            new = read(new, self._containers)
        history = self._branch._history
        made = plan(history.tip.at, new, self._containers, FAULT)
        self._tell(made.data, made.note)

    @property
    def active(self) -> list[str]:
        """The ids of the faults that are active at the tip, in the order in which they began."""
        ids: dict[str, None] = {}
        for event in self._branch.events.where(type="fault.*"):
            if event.type == "fault.start":
                ids[event.fields.get("id", "")] = None
            else:
                ids.pop(event.fields.get("id", ""), None)
        return list(ids)

    def __repr__(self) -> str:
        return f"<faults of {self._branch!r}; by themselves:\n{self.settings}>"

    # -- the way to the guest

    @property
    def _containers(self) -> list[ContainerFacts]:
        return self._branch.run.manifest.containers

    @property
    def _reader(self) -> Reader:
        return Reader(self._containers)

    def _begin(
        self, name: str, whom: Names | list[Names], for_: Duration | None, to: str = "",
        **given: Any,
    ) -> Fault:  # fmt: skip
        kind, reader = KINDS[name], self._reader
        label = reader.target(kind, whom, (), to)
        values = {
            p.name: given[p.name]
            if p.unit == "choice"
            else reader.amount(p, given[p.name], (name, p.name))
            for p in kind.parameters
        }
        return self._send(name, kind.aim(label, self._containers), values, self._length(for_))

    def _length(self, for_: Duration | None) -> int:
        return FOREVER if for_ is None else duration(for_, {})

    def _send(self, kind: str, target: Target, values: dict[str, int], length: int) -> Fault:
        history = self._branch._history
        identity = f"b{_next(history)}"
        begin, end = (_filled(action, values, identity) for action in (target.begin, target.end))
        params = " ".join(f"{name}={value}" for name, value in values.items())
        data = wire.fault(identity, kind, target.label, params, length, begin, end)
        lasting = "" if length in (0, FOREVER) else f" for {format_vtime(length)} s"
        self._tell(data, f"{kind} {target.label} {params}".rstrip() + lasting)
        return Fault(self._branch, identity, kind, target.label)

    def _tell(self, data: bytes, note: str) -> None:
        self._branch._place(FAULT, data, note)


def _next(history: History) -> int:
    """A number that no fault asked for in this history has, its recorded future included."""
    given = [i.data.removeprefix(_DIRECT) for i in history.inputs if i.data.startswith(_DIRECT)]
    numbers = [data.partition(b"\0")[0] for data in given]
    return max((whole(number.decode("ascii", "replace")) or 0 for number in numbers), default=0) + 1


def _filled(action: str, values: dict[str, int], identity: str) -> str:
    """The action with its parameters, as the agent fills in those that it draws."""
    for name, value in {**values, "id": identity}.items():
        action = action.replace(f"{{{name}}}", str(value))
    if action.startswith("clock --"):
        action = action.replace("--", "", 1)
    return action
