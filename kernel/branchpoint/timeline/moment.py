"""A moment: one instant of one timeline. It never changes."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from branchpoint.clock import Duration, Instant, Time, format_vtime, to_ns
from branchpoint.errors import BranchpointError, TimeError
from branchpoint.events.event import EventSet, cut
from branchpoint.timeline import containers
from branchpoint.timeline.replaying.history import History, Point
from branchpoint.timeline.seeds import Noise, noise_of, seeding

if TYPE_CHECKING:
    from branchpoint.store.manifest import Input
    from branchpoint.timeline.branch import Branch
    from branchpoint.timeline.capture.packets import Packets
    from branchpoint.timeline.recording import Recording


class Moment:
    """An instant of the recording or of a branch, addressable to the nanosecond.

    Rewind to an earlier one (:meth:`rewind`, :meth:`rewind_to`), or branch into a different
    future (:meth:`branch`). Prints as an id from which ``run.at(id)`` rebuilds it.
    """

    def __init__(self, run: Recording, history: History, point: Point) -> None:
        self.run = run
        self._history = history
        self._point = point

    @property
    def at(self) -> int:
        """Absolute ns: since the machine was switched on."""
        return self._point.at

    @property
    def vtime(self) -> float:
        """Seconds of virtual time since set-up was complete."""
        return (self.at - self.run.origin) / 1e9

    @property
    def id(self) -> str:
        """A short name, valid in every copy of the recording: ``run.at(id)`` gives this moment."""
        name = self.run.name_of(self._history, self._point)
        return f"{name}@{format_vtime(self.at - self.run.origin)}"

    def rewind(self, by: Duration | None = None, **units: float) -> Moment:
        """The moment ``by`` earlier: ``rewind(1.5)``, ``rewind(Time.seconds(1))``, or
        ``rewind(seconds=1)``, ``rewind(milliseconds=250)``.

        :raises TimeError: when that is before the beginning, or ``by`` is negative.
        """
        return self._at(self.at - duration(by, units))

    def rewind_to(self, vtime: Instant) -> Moment:
        """The moment at ``vtime`` (seconds since set-up was complete, a Time, an event) before this
        one.

        :raises TimeError: when that is after this moment, or before the beginning.
        """
        at = getattr(vtime, "at", None)
        if not isinstance(at, int):
            at = self.run.origin + to_ns(vtime)
        if at > self.at:
            raise TimeError(
                f"{self.run.path.name}: {format_vtime(at - self.run.origin)} s is after {self}",
                "let a branch run there: moment.branch(), branch.wait(...)",
            )
        return self._at(at)

    def _at(self, at: int) -> Moment:
        if at < self.run.earliest:
            begin = format_vtime(self.run.earliest - self.run.origin)
            raise TimeError(
                f"{self.run.path.name} begins at {begin} s; "
                f"{format_vtime(at - self.run.origin)} s is before that"
            )
        history, point = self._history, self._point
        while history.parent is not None and at < history.fork.at:
            history, point = history.parent, history.fork
        return Moment(self.run, history, point if at == point.at else history.point(at))

    def branch(self, seed: int | bytes | None = None, *, noise: Noise = True) -> Branch:
        """A new timeline from here. It goes on exactly as recorded until something is done to it.

        With a ``seed`` (a whole number, or 1 to 512 bytes) everything random is drawn anew from
        here on: the kernel's random numbers, the faults, packet loss, and by scheduling ``noise``
        which thread runs when. The same seed gives the same future, bit for bit. Seeds that the
        recording gets later, as that of a finding does, are left out. ``noise`` is None for no
        noise, or how often on average and how long at most: ``("5ms", "1ms")``.

        Any number of branches may leave one moment; they do not affect each other.

        :raises BranchpointError: when the ``seed`` or its ``noise`` is not valid.
        """
        from branchpoint.timeline.branch import Branch

        disturbed = noise_of(noise)
        history = self._history.branch(self._point)
        if seed is not None:
            for new in seeding(self.at, seed, disturbed):
                history.add(new)
        self.run.remember(history)
        return Branch(self.run, history)

    @property
    def inputs(self) -> list[Input]:
        """All inputs, from power-on, of a branch from here to which nothing is done."""
        return self._history.branch(self._point).inputs

    @property
    def events(self) -> EventSet:
        """All events up to this moment."""
        columns = self._history.log.columns()
        end = int(columns.at.searchsorted(self.at, "right"))
        return self.run.event_set(cut(columns, 0, end), self._history)

    def containers(self) -> containers.Containers:
        """The containers at this moment: name, id, state, address, image."""
        return containers.at_the_end_of(self.events.columns, self.run.manifest.containers)

    def extract_file(
        self,
        path: str | PathLike[str],
        container: str = "",
        save: str | PathLike[str] | None = None,
    ) -> bytes:
        """The content of a file in a container (running or exited) or in the guest itself.

        ``path`` is absolute; ``save`` also writes the content to a file here. The moment stays as
        it is.

        :raises ContainerError: when there is no such container or file, or it cannot be read.
        :raises BranchpointError: when ``save`` cannot be written.
        """
        from branchpoint.timeline.commands import files

        return files.extract_file(self, path, container, save)

    def extract_tree(
        self,
        path: str | PathLike[str],
        container: str = "",
        save: str | PathLike[str] | None = None,
    ) -> bytes:
        """A directory as a tar archive, see :meth:`extract_file`. Other mounts in it are left out.

        Its names and links come from programs in the machine: unpack it with ``tarfile``'s filter
        ``"data"``.

        :raises ContainerError: when there is no such container or directory, or it cannot be read.
        :raises BranchpointError: when ``save`` cannot be written.
        """
        from branchpoint.timeline.commands import files

        return files.extract_tree(self, path, container, save)

    def extract_pcap(self, container: str, time: Duration, filter: str = "") -> Packets:
        """The packets that a container sends and receives in the ``time`` (virtual seconds, a
        Time) after this moment, which stays as it is.

        ``filter`` is in tcpdump's language: ``"tcp and host 10.89.5.61"``. Save the result as a
        pcap file (``.save(path)``), or look at it as a table (``.frame()``).

        :raises ContainerError: when there is no such container.
        :raises BranchpointError: when tcpdump does not understand the filter, or does not start.
        """
        from branchpoint.timeline.capture import packets

        return packets.capture(self, container, time, filter)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Moment) and self.run == other.run and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.at)

    def __repr__(self) -> str:
        return f"Moment({self.id!r})"

    def __str__(self) -> str:
        return self.id

    def _repr_html_(self) -> str:
        return f"<code>{self.id}</code>"


def duration(given: Any, units: dict[str, float]) -> int:
    """ns of a duration given as seconds, a Time, or keywords such as ``seconds=1``.

    :raises BranchpointError: when none is given, or two, or the unit is unknown.
    :raises TimeError: when it is negative.
    """
    if isinstance(given, dict):
        given = set(given.values())
    if isinstance(given, set | frozenset) and len(given) == 1:
        (given,) = given
    if (given is None) == (not units):
        raise BranchpointError(
            "a duration is missing" if given is None else "a duration was given twice",
            "say how long: 1.5, Time.seconds(1.5) or seconds=1.5",
        )
    total = 0 if given is None else to_ns(given)
    for unit, count in units.items():
        if unit not in (
            "nanoseconds",
            "microseconds",
            "milliseconds",
            "seconds",
            "minutes",
            "hours",
        ):
            raise BranchpointError(f"unknown unit of time: {unit}", "use seconds=, minutes= ...")
        total += getattr(Time, unit)(count).ns
    if total < 0:
        raise TimeError(f"a duration of {format_vtime(total)} s is negative")
    return total
