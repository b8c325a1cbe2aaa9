"""A recording: one run of a whole system. Every instant of it can be visited."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec
from blake3 import blake3

from branchpoint import showing
from branchpoint.clock import Instant, format_vtime, to_ns
from branchpoint.errors import BranchpointError, RecordingError, TimeError
from branchpoint.events import naming
from branchpoint.events.event import Columns, EventSet
from branchpoint.events.queries import Where
from branchpoint.guest.snapshot import Snapshot
from branchpoint.store.manifest import Input, Manifest
from branchpoint.timeline.containers import Containers
from branchpoint.timeline.directory import Future, RecordingFiles
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.openings import Shared
from branchpoint.timeline.replaying.history import History, Point
from branchpoint.timeline.schedule import Schedule, schedule
from branchpoint.timeline.seeds import SEED, seed_of, seeding

if TYPE_CHECKING:
    from branchpoint.timeline.branch import Branch
    from branchpoint.timeline.comparing import Comparison

_OF_THE_PACKAGE = {
    "at_ns", "event_set", "gaps", "name_of", "named", "origin", "remember", "replayer", "shared",
    "sharing",
}  # fmt: skip
_MAIN = "main"  # the recording itself, in ids
_SEEDED = "~"  # between the fork and the seed of a branch, in ids


class Recording:
    """A recorded run. Made by ``branchpoint.open(path)`` and ``branchpoint.record(...)``.

    ``run.at(12.5)``, ``run.end``, ``run.failure`` and ``run.moments("exit")`` give moments;
    ``run.events`` has everything that was seen.
    """

    def __init__(self, files: RecordingFiles, snapshot: Callable[[], Snapshot]) -> None:
        self._share(Shared(files, snapshot))

    @classmethod
    def sharing(cls, shared: Shared) -> Self:
        """One more opening of a recording that is open already; the caller holds its ``lock``."""
        opened = cls.__new__(cls)
        opened._share(shared)
        return opened

    def _share(self, shared: Shared) -> None:
        self.shared = shared
        """What it has in common with other openings of the same recording in this process."""
        self._opening = shared.hold(self)
        self.files = shared.files
        self.gaps = shared.gaps
        self.replayer = shared.replayer
        self.named = shared.named
        self._root = shared.replayer.root

    @property
    def path(self) -> Path:
        """The directory it lies in."""
        return self.files.path

    @property
    def manifest(self) -> Manifest:
        """Machine, inputs, seed, containers: all that a replay needs."""
        return self.files.manifest

    @property
    def warnings(self) -> list[str]:
        """What is damaged or missing. A replay needs none of it."""
        return self.files.warnings

    # -- time

    @property
    def origin(self) -> int:
        """Absolute ns at which set-up was complete: vtime 0."""
        return self.manifest.origin

    @property
    def earliest(self) -> int:
        """Absolute ns of the first instant that can be visited."""
        return self.manifest.inputs[0].at if self.manifest.inputs else 0

    @property
    def duration(self) -> float:
        """Virtual seconds from set-up complete to the end."""
        return (self.manifest.end - self.origin) / 1e9

    @property
    def start(self) -> Moment:
        """The moment at which set-up was complete."""
        return self.at(0)

    @property
    def end(self) -> Moment:
        """The last moment of the recording."""
        return Moment(self, self._root, self._root.tip)

    @property
    def failure(self) -> Moment:
        """The moment of the event that ended the recording.

        :raises BranchpointError: when it ended without a failure.
        """
        if self.manifest.failure is None:
            raise BranchpointError(
                f"{self.path.name} ended without a failure ({self.manifest.ended})",
                'look for one: run.moments("exit"), run.events.where(...)',
            )
        return self.at_ns(self.manifest.failure)

    def at(self, when: Instant) -> Moment:
        """The moment at ``when``: virtual seconds since set-up was complete (12.5, "12.5", a
        Time, negative ones during set-up), an event of the recording, or a moment's id. A moment
        of one of its branches stays as it is.

        :raises TimeError: when the instant is outside the recording.
        :raises RecordingError: when an id names a branch that this recording does not know, or a
            moment is of another recording.
        """
        if isinstance(when, Moment):
            if when.run != self:
                raise RecordingError(
                    f"{when} is a moment of {when.run.path.name}, not of {self.path.name}",
                    f"to see this recording at the same instant: run.at({when.vtime:g})",
                )
            return Moment(self, when._history, when._point)
        if isinstance(when, str) and "@" in when:
            return self._by_id(when)
        at = getattr(when, "at", None)
        return self.at_ns(at if isinstance(at, int) else self.origin + to_ns(when))

    def at_ns(self, at: int) -> Moment:
        """The moment at an absolute instant (ns since power-on).

        :raises TimeError: when it is outside the recording.
        """
        if not self.earliest <= at <= self.manifest.end:
            begin = format_vtime(self.earliest - self.origin)
            raise TimeError(
                f"{format_vtime(at - self.origin)} s is outside {self.path.name}, which goes from "
                f"{begin} s to {self.duration:.3f} s",
                "to see what comes after the end, branch from it: run.end.branch().wait(10)"
                if at > self.manifest.end
                else f"the earliest is {begin}; 0 is the instant at which set-up was complete",
            )
        return Moment(self, self._root, self._root.point(at))

    def moments(self, type: str = "exit", **where: Any) -> list[Moment]:
        """The moments of events: ``moments("exit")``, ``moments("restart", container="db.1")``.

        :raises BranchpointError: when there is no such type of events, or no such container.
        """
        naming.check_type(type, self.events.columns)
        naming.check(Where(container=where.get("container")), self.manifest.containers)
        patterns = [type] if "." in type or "*" in type else [type, f"container.{type}"]
        return self.events.where(type=patterns, **where).moments()

    # -- branches

    def remember(self, history: History) -> None:
        """List a new branch in :attr:`branches` for as long as it is used."""
        self.shared.branched[next(self.shared.numbers)] = history

    @property
    def branches(self) -> list[Branch]:
        """The branches that were made here and are still used, in the order in which they were
        made.
        """
        from branchpoint.timeline.branch import Branch

        # Made at once: other threads look at the branches while cells make some.
        held = [each() for each in self.shared.branched.valuerefs()]
        return [Branch(self, history) for history in held if history is not None]

    def map(self, failure: Any = "exit:*", *, earlier: bool = False) -> Any:
        """The branches of this recording as a tree, for a notebook, coloured by their verdicts.

        These are the branches in use, those whose ids were shown or asked for since the recording
        was opened, and the futures of curves asked for since then. So the map in a cell depends
        only on the cells before it, and is the same when a notebook runs again. With ``earlier``,
        branches and futures that earlier sessions kept with the recording are shown, too.

        A branch fails when the ``failure`` happened in it since its fork: ``bp.failure(...)`` or
        its short form. Choosing a branch gives its moment (``view.moment``).
        """
        return showing.show("map", self, failure=failure, earlier=earlier)

    def compare(self, a: Any, b: Any, *, numbers: bool = False) -> Comparison:
        """Where two timelines part: the first event that only one of them has, and both logs side
        by side, up to the earlier end.

        ``a`` and ``b`` are branches, moments or ids of moments. Two events are the same when type,
        container, stream and text are; numbers in the text are ignored unless ``numbers`` is true.

        :raises BranchpointError: when an id is not one of this recording.
        """
        from branchpoint.timeline.comparing import Comparison

        ends = [getattr(x, "end", x) if not isinstance(x, str) else self.at(x) for x in (a, b)]
        one, other = (self.at(x) if not isinstance(x, Moment) else x for x in ends)
        return Comparison(one, other, numbers=numbers)

    # -- what was seen

    @property
    def events(self) -> EventSet:
        """All events of the recording: output lines, container life cycle, kernel log."""
        return self.event_set(self._root.log.columns(), self._root)

    def event_set(self, columns: Columns, history: History) -> EventSet:
        """Events of a history of this recording, which know their moments."""

        def moment_of(at: int) -> Moment:
            return Moment(self, history, history.tip)._at(at)

        return EventSet(columns, origin=self.origin, moment_of=moment_of, history=history)

    def timeline(self, *, earlier: bool = False) -> Any:
        """The recording as a picture to zoom and click in, for a notebook: containers as lanes,
        what happened to them, checkpoints, and the curves asked for since it was opened; with
        ``earlier``, also those that earlier sessions kept with it, see :meth:`map`.

        A click gives a moment (``view.moment``); ``view.log`` shows the log of the stretch that it
        is zoomed to.
        """
        return showing.show("timeline", self, earlier=earlier)

    def schedule(self, start: Instant, end: Instant) -> Schedule:
        """Which thread had the processor when, from ``start`` to ``end`` (moments, or instants of
        the recording): all context switches, with their containers.

        The stretch is run once more for it. Instants are exact to a few microseconds.

        :raises BranchpointError: when they do not follow each other in one history.
        """
        moments = (m if isinstance(m, Moment) else self.at(m) for m in (start, end))
        return schedule(*moments)

    def slider(self, **options: Any) -> Any:
        """A slider over its instants, for a notebook: ``interact(look, at=run.slider())`` calls
        ``look`` with the moment. ``options`` are those of ipywidgets' FloatSlider.
        """
        return showing.show("slider", self, **options)

    def containers(self) -> Containers:
        """The containers at the end of the recording."""
        return self.end.containers()

    # -- ids

    def name_of(self, history: History, point: Point) -> str:
        """The part before the @ in the id of a moment. Stores the branch with the recording."""
        fork = self._parting(history, point)
        inputs = history.inputs[fork.count : point.count]
        recorded = self._root.inputs[fork.count : self._root.point(point.at).count]
        if inputs == recorded and point.at <= self.manifest.end:
            return _MAIN
        seeded = self._seeded(fork, inputs, point.at)
        if seeded:
            return seeded
        without = [i for i in self._later(fork, inputs) if i.at < point.at]
        digest = blake3(str(fork.at).encode())
        for given in (inputs, without) if without else (inputs,):
            digest.update(msgspec.msgpack.encode([(i.at, i.kind, i.data) for i in given]))
        name = digest.hexdigest()[:8]
        future = Future(id=name, parent=None, at=fork.at, inputs=inputs, without=without)
        if self.files.keeps and name not in self.files.futures:
            try:
                self.files.add_future(future)
            except RecordingError as problem:  # the branch itself is good
                self.files.warn(f"the branch {name} is not kept: {problem.message}")
        self.named.setdefault(name, future)
        return name

    def _seeded(self, fork: Point, inputs: list[Input], until: int) -> str:
        """The name of a branch from the recording that got nothing but a seed; "" for others.

        It says all that is needed to make the branch again, in any copy of the recording.
        ``inputs`` are those from the fork up to the instant ``until`` (absolute ns).
        """
        recorded = self._root.inputs[fork.count :]
        shared = 0
        while shared < len(inputs) and inputs[shared : shared + 1] == recorded[shared : shared + 1]:
            shared += 1
        seed = seed_of(inputs[shared:])
        if seed is None or not self.earliest <= inputs[shared].at <= self.manifest.end:
            return ""
        at = inputs[shared].at
        given = seeding(at, seed)
        expected = [*given, *self._later(self._root.point(at), given)]
        count = max(len(inputs) - shared, sum(i.at < until for i in expected))
        if inputs[shared:] != expected[:count]:
            return ""
        return f"{format_vtime(at - self.origin)}{_SEEDED}{seed}"

    def _parting(self, history: History, point: Point) -> Point:
        """The last place of the recording on the way to a place of a history."""
        fork = point
        here: History = history
        while here.parent is not None:
            fork = min(fork, here.fork)
            here = here.parent
        return self._root.point(fork.at)

    def _later(self, fork: Point, given: list[Input]) -> list[Input]:
        """What the recording gives after these inputs to a branch that got them since its fork."""
        last = given[-1].at if given else fork.at
        anew = self._root.reseeded(given)
        return [
            i
            for i in self._root.inputs[fork.count :]
            if i.at >= last and i not in given and not (anew and i.kind == SEED)
        ]

    def _by_id(self, id: str) -> Moment:
        name, _, vtime = id.partition("@")
        at = self.origin + to_ns(vtime)
        if name == _MAIN:
            return self.at_ns(at)
        if _SEEDED in name:
            return self._by_seed(id, name, at)
        future = self.named.get(name) or self.files.futures.get(name)
        if future is None:
            raise RecordingError(
                f"{self.path} has no branch {name!r}",
                "an id works only with the recording that it came from",
            )
        self.named.setdefault(name, future)
        fork = self._root.point(future.at)
        history = self._root.branch(fork)
        given = list(future.inputs)
        later = [i for i in self._later(fork, given) if i not in future.without]
        history.inputs = [*self._root.inputs[: fork.count], *given, *later]
        history.tip = fork
        if at < fork.at:
            return Moment(self, history, fork)._at(at)
        self.replayer.play(history, at)
        if history.tip.at > at:
            return Moment(self, history, history.point(at))
        end = fork.count + len(given)
        while history.tip.count < end and history.inputs[history.tip.count].at <= at:
            history.tip = Point(at, history.tip.count + 1)
        return Moment(self, history, history.tip)

    def _by_seed(self, id: str, name: str, at: int) -> Moment:
        start, _, seed = name.partition(_SEEDED)
        fork = self.at(start)
        if at < fork.at or not seed.removeprefix("-").isdecimal():
            raise TimeError(
                f"{id!r} is not a moment: one of a branch with a seed is FORK{_SEEDED}SEED@TIME",
                f"for example 44.5{_SEEDED}7@49.0",
            )
        history = fork.branch(int(seed))._history
        self.replayer.play(history, at)
        return Moment(self, history, history.tip if history.tip.at == at else history.point(at))

    # -- ending

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return not self._opening.alive

    def close(self) -> None:
        """Close this opening; closing it again does nothing.

        With the last opening of the recording in this process, its emulators end and its files are
        closed. An opening that is garbage-collected counts as closed, too.
        """
        self._opening()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __eq__(self, other: object) -> bool:
        """Whether both are openings of the same recording in this process."""
        return isinstance(other, Recording) and self.shared is other.shared

    def __hash__(self) -> int:
        return hash(self.shared)

    def __dir__(self) -> Iterable[str]:
        """For completion: without what only other modules of the package use."""
        return sorted(set(super().__dir__()) - _OF_THE_PACKAGE)

    def __repr__(self) -> str:
        return (
            f"Recording({str(self.path.name)!r}: {self.manifest.title}, {self.duration:.3f} s, "
            f"{len(self.manifest.containers)} containers, {len(self.events)} events, "
            f"seed {self.manifest.seed})"
        )

    @property
    def ending(self) -> str:
        """How it ended, in words: what failed, or why it is not longer."""
        try:
            failure = self.failure
        except BranchpointError:  # none, or, of a stranger, outside of it
            return self.manifest.ended or "ran for its time"
        event = self.events.where(start=failure, end=failure).last
        what = f"{event.container} {event.type} {event.text}" if event else self.manifest.ended
        return f"{failure.id}: {what}"

    def _repr_html_(self) -> str:
        rows = [
            ("system", self.manifest.title),
            ("length", f"{self.duration:.3f} virtual s"),
            ("containers", str(len(self.manifest.containers))),
            ("events", str(len(self.events))),
            ("seed", str(self.manifest.seed)),
            ("ended", self.ending),
        ]
        body = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows)
        return f"<table><tbody>{body}</tbody></table>"
