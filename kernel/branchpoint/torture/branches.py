"""Branches that must equal the recording, restored while a probe is at work.

One machine replays a recording of the probes without being restored. At random instants, each while
one of the probes is at work, its state is saved, and another machine restores that state and runs
on. Without a command, its output and its state must become the same as those of the first machine.
With a shell command at that instant, they must become the same as those of a machine that was
restored earlier, reached the instant by running, and got the same command there.
"""

from __future__ import annotations

import random
import time
from bisect import bisect_right
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from threading import Lock

from branchpoint import progress
from branchpoint.errors import MachineError
from branchpoint.events.event import LOG, Event
from branchpoint.events.reports import from_guest
from branchpoint.guest import wire
from branchpoint.machine.computer import Computer, Cures
from branchpoint.machine.state import State
from branchpoint.store.manifest import Input
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import COMMAND, History
from branchpoint.timeline.replaying.player import Player
from branchpoint.timeline.replaying.replayer import Replayer

LOST = "LOST"
"""A probe prints this when something has changed that should not have."""
_ROUND = 30_000_000  # ns: lines of a probe that are closer together belong to one turn
_ALONE = 15_000_000  # ns that a branch without a command runs
_ACTED = 40_000_000  # ns that a branch with a command runs: the command begins within 10 ms
_EARLIER = 6_000_000  # ns by which the other machine is restored earlier
_LEAD = 100_000_000  # ns that the first machine runs before its first state is saved
_PART = 250  # branches from one replaying machine; its memory is freed after them
_ALL = Cures()
_COMMAND = "echo $((6 * 7)); echo done >&2"


@dataclass(frozen=True)
class Probed:
    """The branches that began while one probe was at work."""

    name: str
    """Its container."""
    alone: int = 0
    """Branches without a command."""
    acted: int = 0
    """Branches with a command."""
    parted: int = 0
    """How many had a different history."""
    example: str = ""
    """How the first of them differed."""

    def __str__(self) -> str:
        verdict = f"{self.parted} with another history: {self.example}" if self.parted else "same"
        return f"{self.name}: {self.alone} branches, {self.acted} with a command: {verdict}"


@dataclass
class Branches:
    """What the branches showed."""

    name: str
    probes: dict[str, Probed] = field(default_factory=dict)
    wall: float = 0.0
    """Seconds."""
    strayed: list[str] = field(default_factory=list)
    """Where the replaying machine differed from the recording."""

    @property
    def count(self) -> int:
        """All branches."""
        return sum(probe.alone + probe.acted for probe in self.probes.values())

    @property
    def parted(self) -> int:
        """How many branches had a different history."""
        return sum(probe.parted for probe in self.probes.values())

    @property
    def identical(self) -> bool:
        """Whether there were branches and all were as recorded."""
        return self.count > 0 and not self.parted and not self.strayed

    def add(self, where: str, difference: str, *, acted: bool) -> None:
        """Count a branch of a probe; an empty ``difference`` means that there is none."""
        known = self.probes.get(where) or Probed(where)
        self.probes[where] = replace(
            known,
            alone=known.alone + (not acted),
            acted=known.acted + acted,
            parted=known.parted + bool(difference),
            example=known.example or difference,
        )

    def __str__(self) -> str:
        acted = sum(probe.acted for probe in self.probes.values())
        parts = ", ".join(str(probe) for probe in self.probes.values() if probe.parted)
        return (
            f"{self.name}: {self.count} branches ({acted} with a command) of "
            f"{len(self.probes)} programs in {self.wall:.0f} s: "
            f"{parts or 'all histories the same'}"
            + "".join(f"; the replay itself strayed: {each}" for each in self.strayed[:1])
        )


def branch_often(
    run: Recording,
    count: int,
    *,
    only: Collection[str] = (),
    workers: int = 1,
    seed: int = 0,
    cures: Cures = _ALL,
    name: str = "",
    until_parted: bool = False,
) -> Branches:
    """Branch ``count`` times off each probe of a recording, half of the branches with a command.

    ``only`` names some of the probes (their containers); ``cures`` are those of all machines here;
    ``until_parted`` ends the test at the first different history, which is all that a control has
    to show.

    :raises MachineError: when the probes print nothing.
    """
    started = time.monotonic()
    forks = _forks(run, count, seed, only)
    parts = [forks[i : i + _PART] for i in range(0, len(forks), _PART)]
    report = Branches(name or run.manifest.title)
    make = partial(_Part, run, report, Lock(), cures, until_parted)
    title = f"branches of {report.name}"
    with (
        progress.task(title, len(forks), "branches") as task,
        ThreadPoolExecutor(workers) as pool,
    ):
        for done in [pool.submit(make(part).work, task) for part in parts]:
            done.result()
    report.wall = time.monotonic() - started
    return report


@dataclass(frozen=True, order=True)
class _Fork:
    at: int  # ns
    container: str
    acted: bool

    @property
    def end(self) -> int:
        return self.at + (_ACTED if self.acted else _ALONE)


def _forks(run: Recording, count: int, seed: int, only: Collection[str]) -> list[_Fork]:
    """Instants between two lines of one turn, ``count`` for each probe, ordered by time."""
    chance = random.Random(seed)
    found = []
    first, last = run.origin + _LEAD, run.manifest.end - _ACTED
    lines = run.events.where(source="container", type=LOG, container=list(only) or None)
    by_probe: dict[str, list[int]] = {}
    for event in lines:
        if first <= event.at <= last:
            by_probe.setdefault(event.container, []).append(event.at)
    for container, instants in sorted(by_probe.items()):
        rounds = [(a, b) for a, b in pairwise(instants) if b - a < _ROUND]
        ends = list(accumulate(b - a for a, b in rounds))
        for number in range(count if ends else 0):
            place = chance.randrange(ends[-1])
            which = bisect_right(ends, place)
            at = rounds[which][1] - (ends[which] - place) + 1
            found.append(_Fork(at, container, bool(number % 2)))
    return sorted(found)


class _Part:
    """Some branches at nearby instants, all from one machine that replays the recording."""

    def __init__(
        self, run: Recording, report: Branches, lock: Lock, cures: Cures, until_parted: bool,
        forks: list[_Fork],
    ) -> None:  # fmt: skip
        self.run = run
        self.report = report
        self.lock = lock
        self.cures = cures
        self.until_parted = until_parted
        self.forks = forks
        root = run.replayer.root
        # It has its own states, on its own pages: there are many, and they are freed with it.
        self.root = History(root.inputs, root.tip, root.log)
        self.said: list[Event] = []
        """Events of the replaying machine so far."""

    def work(self, task: progress.Task) -> None:
        """Save the states, and test each branch as soon as its expected result is known."""
        if self.until_parted and self.report.parted:
            return
        snapshot = self.run.replayer.snapshot
        replayer = Replayer(lambda: snapshot, self.root, self.run.files)
        start = partial(
            Computer, snapshot.spec, template=snapshot.template, pool=replayer.pool,
            cures=self.cures,
        )  # fmt: skip
        begin = max(self.run.earliest, self.forks[0].at - _EARLIER - _LEAD)
        state = replayer.bring(self.root, self.root.point(begin)).computer.capture()
        try:
            with start() as first, start() as second:
                self.player, self.other = Player(first), Player(second)
                self._enter(self.player, self.root, state)
                self._play(task)
        finally:
            replayer.close()

    def _play(self, task: progress.Task) -> None:
        states: dict[int, State] = {}
        heard: dict[int, int] = {}
        for at, fork, what in self._stops():
            self.player.replay_to(self.root.point(at))
            self.said += self._heard(self.player)
            if what != "end":
                states[at] = self.player.computer.capture()
                heard[at] = len(self.said)
                continue
            before = states.get(fork.at - _EARLIER)
            difference = (
                self._acted(fork, states[fork.at], before)
                if before
                else self._alone(fork, states[fork.at], self.said[heard[fork.at] :])
            )
            with self.lock:
                self.report.add(fork.container, difference, acted=fork.acted)
                task.update(self.report.count, f"{self.report.parted} with another history")
            if self.until_parted and self.report.parted:
                return
        self._compare_with_recording()

    def _stops(self) -> Iterator[tuple[int, _Fork, str]]:
        stops = []
        for fork in self.forks:
            stops.append((fork.at, fork, "fork"))
            if fork.acted:
                stops.append((fork.at - _EARLIER, fork, "earlier"))
                stops.append((fork.at, fork, "end"))
            else:
                stops.append((fork.end, fork, "end"))
        order = ["earlier", "fork", "end"]
        yield from sorted(stops, key=lambda stop: (stop[0], order.index(stop[2])))

    def _alone(self, fork: _Fork, state: State, expected: list[Event]) -> str:
        """How a branch without a command differs from what the first machine did: ``expected``."""
        pool = self.player.computer.pool
        assert pool is not None
        self._enter(self.other, self.root, state)
        said, digest = self._go_on(self.root, fork.end)
        return _difference(expected, said) or (
            "" if digest == self.player.computer.capture().digest(pool) else "another state"
        )

    def _acted(self, fork: _Fork, state: State, before: State) -> str:
        """How a branch with a command differs from the same one on a machine that ran there."""
        history = self.root.branch(self.root.point(fork.at))
        data = wire.exec(history.commands() + 1, _COMMAND, fork.container)
        history.add(Input(at=fork.at, kind=COMMAND, data=data, note=_COMMAND))
        self._enter(self.other, history, before)
        # What it has read before the fork can come out after it: instants do not tell it apart.
        self.other.replay_to(history.point(fork.at))
        self._heard(self.other)
        expected, wanted = self._go_on(history, fork.end)
        self._enter(self.other, history, state)
        said, digest = self._go_on(history, fork.end)
        difference = _difference(expected, said)
        if not difference and digest != wanted:
            difference = "another state"
        if not difference:
            lost = [event for event in said if LOST in event.text]
            difference = str(lost[0]) if lost else ""
        return difference

    def _enter(self, player: Player, history: History, state: State) -> None:
        player.restore(history, history.point(state.at), state)
        player.mailbox.skip()

    def _go_on(self, history: History, end: int) -> tuple[list[Event], bytes]:
        self.other.replay_to(history.point(end))
        return self._heard(self.other), self.other.computer.digest()

    def _heard(self, player: Player) -> list[Event]:
        origin = self.run.origin
        return [
            from_guest(record, origin)
            for record in player.mailbox.drain()
            if not isinstance(record, wire.Raw)
        ]

    def _compare_with_recording(self) -> None:
        begin = self.forks[0].at - _EARLIER  # errors of the restore have shown by then
        said = [event for event in self.said if event.at > begin]
        if not said:
            raise MachineError(f"the probes printed nothing after {begin} ns")
        recorded = self.run.events.after(self.run.at_ns(begin))
        difference = _difference(list(recorded.up_to(self.run.at_ns(said[-1].at))), said)
        if difference:
            with self.lock:
                self.report.strayed.append(difference)


def _difference(expected: list[Event], said: list[Event]) -> str:
    """The first event that is not the same in both, in words; "" when there is none."""
    for one, other in zip(expected, said, strict=False):
        if one != other:
            return f"{_told(other)} instead of {_told(one)}"
    if len(expected) != len(said):
        rest = (expected if len(expected) > len(said) else said)[min(len(expected), len(said))]
        return f"{'nothing instead of' if rest in expected else 'also'} {_told(rest)}"
    return ""


def _told(event: Event) -> str:
    return f"{' '.join(str(event).split())!r}"
