"""``branch.faults``: what goes wrong in a branch, by itself and at the word of its user.

A fault begins at the branch's tip, that is at the next look of the guest's agent into its mailbox
(every 10 virtual ms), and its script needs some ms more; both of its events tell the instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from branchpoint.clock import Duration, format_vtime
from branchpoint.decoding import whole
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
"""Of containers, or patterns such as ``"node*"``."""
Share: TypeAlias = float | str
"""Of 1, or ``"10%"``."""
_PLAN, _DIRECT = b"faults\0", b"fault\0b"


def named(given: Input) -> str:
    """The id of the fault that an input begins, or heals by its id; "" for all others."""
    word, _, rest = given.data.partition(b"\0")
    return rest.partition(b"\0")[0].decode(errors="replace") if word in (b"fault", b"heal") else ""


def plan(
    at: int, settings: Settings, containers: Sequence[ContainerFacts], kind: str = SETUP
) -> Input:
    """The input that has the guest draw faults by these settings."""
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

    Every kind of fault is a method, and begins at the branch's tip. Containers are named by their
    full name, or by that of a service that has one container. ``for_`` is how long it lasts
    (virtual seconds, a Time, ``"500ms"``); without it, until it is healed. Faults add up: on one
    container, too, and the last one to end leaves everything as it was.
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
        """Containers ``a`` cannot reach ``b`` (default: all others), nor be reached.

        Both are a name, a pattern such as ``"node*"``, or a list of them. ``one_way``: only what
        goes from ``a`` to ``b`` vanishes. Open connections stay open and notice nothing.
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
        """Every packet to a container is ``delay`` late (seconds), give or take ``jitter``.

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

    # -- containers

    def kill(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Kill a container (SIGKILL). With ``for_``, it is started after that time.

        Its restart policy applies, and may start it earlier; see :meth:`stop` to prevent that.
        """
        return self._begin("kill", container, 0 if for_ is None else for_)

    def stop(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Stop a container as ``docker stop`` does, whatever its restart policy; then start it."""
        return self._begin("stop", container, for_)

    def restart(self, container: str) -> Fault:
        """Stop a container as ``docker restart`` does, and start it at once."""
        return self._begin("restart", container, 0)

    def freeze(self, container: str, *, for_: Duration | None = None) -> Fault:
        """Halt all processes of a container; they do not notice, but for the time that passed."""
        return self._begin("freeze", container, for_)

    def throttle(
        self, container: str, share: Share = 0.1, *, for_: Duration | None = None
    ) -> Fault:
        """A container gets a ``share`` (of 1, or ``"10%"``) of the processor only.

        As a quota in each 100 ms, as ``cpus`` in a compose file; a lower one of its own stays.
        """
        return self._begin("throttle", container, for_, share=share)

    def memory(self, container: str, share: Share = 0.8, *, for_: Duration | None = None) -> Fault:
        """A container may use a ``share`` of the memory only that it uses now.

        What can be reclaimed of the rest is; what it allocates beyond that makes it wait
        (``memory.high``), for up to seconds. It is not killed.
        """
        return self._begin("memory", container, for_, share=share)

    # -- disks

    def disk_full(
        self, container: str, left: int | str = 0, *, for_: Duration | None = None
    ) -> Fault:
        """A container's disks are full but for ``left`` (bytes, ``"64k"``): its writes get ENOSPC.

        Its disks are its writable layer and the named volumes that it may write to, for others
        who share these, too. They become as small as their content (but 4 KiB when empty), so what
        it removes can be used again, and ``df`` shows a smaller disk.
        """
        return self._begin("disk_full", container, for_, left=left)

    def slow_disk(
        self, container: str, delay: Duration = 0.02, *, for_: Duration | None = None
    ) -> Fault:
        """A container waits ``delay`` (seconds) before each operation on its files.

        Delayed are opening, creating, fsync and its like, reads and writes at an offset (pread,
        pwrite), truncating, allocating, renaming, linking, removing, listing. Not delayed are
        plain read and write (which are about sockets and pipes, too) and mapped files, nor
        processes that are not children of the container's own, such as health checks. Files of
        /proc and /dev are delayed like all others. It is done by strace: all other system calls
        take some ten µs longer, the processes can see that they are traced, and they can be under
        one such fault, or one debugger, at a time.
        """
        return self._begin("slow_disk", container, for_, delay=delay)

    # -- the machine

    def clock(self, step: Duration, *, for_: Duration | None = None) -> Fault:
        """The wall clock of the whole machine jumps by ``step`` (seconds; below 0: back).

        After ``for_`` it jumps back by as much; without, it stays wrong until it is healed.
        Monotonic clocks, and with them timeouts, go on as ever.
        """
        return self._begin("clock", GUEST, for_, step=step)

    def cpu(self, share: Share = 0.8, *, for_: Duration | None = None) -> Fault:
        """Something else takes a ``share`` (of 1, or ``"80%"``) of the processor.

        Containers have the rest between them, when they want all of it, and idle as ever.
        """
        return self._begin("cpu", GUEST, for_, share=share)

    def command(
        self, run: str, container: str = "", *, heal: str = "", for_: Duration | None = None
    ) -> Fault:
        """Run a shell script of your own as a fault, in a container or in the guest itself.

        ``heal`` is run in the same place at the end. In both, ``{id}`` is the fault's id.
        """
        reader = self._reader
        label = reader.target(KINDS["kill"], container, ()) if container else GUEST
        target = plans.command(label, run, heal)
        return self._send("command", target, {}, self._length(for_) if heal else 0)

    # -- all of them

    def heal(self) -> None:
        """End all active faults at the branch's tip, also those that the guest drew."""
        self._tell(wire.heal(), "heal all faults")

    def pause(self) -> None:
        """No faults by themselves from here on; active ones end. The draws go on unseen."""
        self._tell(wire.injector("pause"), "no faults from here on")

    def unpause(self) -> None:
        """Faults by themselves happen again, as if there had been no pause."""
        self._tell(wire.injector("unpause"), "faults may happen again")

    def skip(self, number: int) -> None:
        """The fault that the guest would draw as this number does not happen; all others do."""
        self._tell(wire.injector("skip", number), f"skip fault {number}")

    @property
    def settings(self) -> Settings:
        """Which faults happen by themselves from the tip on; print it to see them.

        Set it to change them: to other settings, or to a mapping with the words of a compose file,
        such as ``{"kill": {"every": 10, "for": (1, 5), "exclude": "client"}}``. Faults are then
        drawn anew from the tip on; active ones end in their time.

        :raises BranchpointError: for a kind, a container or a parameter that there is not.
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
        """The ids of the faults that are active at the tip, in the order of their begin."""
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
        self, name: str, whom: Names | list[Names], for_: Duration | None, **given: Any
    ) -> Fault:
        kind, reader = KINDS[name], self._reader
        label = reader.target(kind, whom, ())
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
    """A number that no fault asked for in this history has, nor one of its recorded future."""
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
