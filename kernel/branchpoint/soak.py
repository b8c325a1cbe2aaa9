"""The determinism soak: replays under the worst conditions we can make, compared bit for bit.

A replay starts from power-on or from one of several states, in a fresh emulator or in one that has
made other replays before. It is stopped at random; there its state is read, sometimes restored at
once, and sometimes the replay is rewound. Its main loop is woken all the time for no reason, and
other work keeps every core of the host busy. At the end all memory, registers, devices and the
clock must be those of an undisturbed run.
"""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PagePool
from branchpoint.machine.state import State
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.replaying.player import Player

_MARKS = 4  # states from which replays start
_STOP_EVERY = 15  # stops in one replay, on average
_LOOK, _AGAIN, _REWIND = 0.2, 0.5, 0.1  # chances: look, then restore it, rewind
_MOST_REWINDS = 2  # in one replay
_FRESH, _BOOT = 0.3, 0.1  # chances that a replay has an emulator of its own; starts at power-on
_NUDGE = 0.0003  # wall seconds between two wake-ups
# Computes for ever, but ends when its standard input does: it must not outlive its parent.
_BUSY = """
import os, threading
threading.Thread(target=lambda: os._exit(len(os.read(0, 1))), daemon=True).start()
while True:
    sum(range(100000))
"""


@dataclass(frozen=True)
class Subject:
    """What is replayed: a machine from ``begin`` to ``end`` (ns), with the inputs on the way."""

    name: str
    history: History
    pool: PagePool
    start: Callable[..., Computer]
    """Starts a fresh computer, in which any state can be restored; takes ``cures``."""
    begin: State
    end: int
    boot: Callable[..., Computer] | None = None
    """Starts a fresh computer at power-on; None when that is not to be replayed."""
    recorded: bytes | None = None
    """The digest at ``end`` that was stored with the recording; None when there is none."""
    stored: tuple[State, ...] = ()
    """States on the way that are stored with a recording; if any, replays start from these."""


def subject_of(run: Recording, seconds: float) -> Subject:
    """The last virtual ``seconds`` of a recording."""
    replayer = run.replayer
    begin = max(run.earliest, run.manifest.end - round(seconds * 1e9))
    player = replayer.bring(replayer.root, replayer.root.point(begin))
    state = player.computer.capture()
    name = f"{run.manifest.title}, last {seconds:g} virtual s"
    end = run.manifest.end
    recorded = run.files.digests.get(end)
    start = _starter(run)
    return Subject(name, replayer.root, replayer.pool, start, state, end, recorded=recorded)


def windows(run: Recording, seconds: float) -> list[tuple[int, int]]:
    """A recording cut at stored checkpoints into parts of at least ``seconds`` (virtual).

    The last one may be shorter. Absolute ns, for :func:`subject_between`.
    """
    stops = [at for at in sorted(run.files.checkpoints) if at >= run.origin]
    found = []
    begin = stops[0]
    for at in stops[1:]:
        if at - begin >= seconds * 1e9 or at == stops[-1]:
            found.append((begin, at))
            begin = at
    return found


def subject_between(run: Recording, begin: int, end: int) -> Subject:
    """The part of a recording between two stored checkpoints (absolute ns).

    Replays start from each of the checkpoints in turn, as it is on disk.
    """
    replayer = run.replayer
    stored = [replayer.load(at) for at in sorted(run.files.checkpoints) if begin <= at < end]
    vtimes = [f"{(at - run.origin) / 1e9:.1f}" for at in (begin, end)]
    return Subject(
        f"{run.manifest.title}, {vtimes[0]} to {vtimes[1]} virtual s",
        replayer.root, replayer.pool, _starter(run), stored[0], end,
        recorded=run.files.digests.get(end), stored=tuple(stored),
    )  # fmt: skip


def _starter(run: Recording) -> Callable[..., Computer]:
    snapshot = run.replayer.snapshot
    return functools.partial(
        Computer, snapshot.spec, template=snapshot.template, pool=run.replayer.pool
    )


@dataclass
class Report:
    """What a soak found."""

    name: str
    replays: int = 0
    stops: int = 0
    rewinds: int = 0
    from_power_on: int = 0
    restored: set[int] = field(default_factory=set)
    """Instants (ns) of the states from which replays went on."""
    wall: float = 0.0
    """Seconds."""
    divergences: list[str] = field(default_factory=list)
    """One line each: the replay's number, where it started, what it went through."""

    def __str__(self) -> str:
        verdict = f"{len(self.divergences)} diverged" if self.divergences else "all identical"
        return (
            f"{self.name}: {self.replays} replays ({self.from_power_on} from power-on, others "
            f"from {len(self.restored)} states), "
            f"{self.stops} stops, {self.rewinds} rewinds in {self.wall:.0f} s: {verdict}"
        )


def soak(
    subject: Subject,
    count: int | None = None,
    seconds: float | None = None,
    *,
    workers: int | None = None,
    busy: int | None = None,
    seed: int = 0,
    until_divergence: bool = False,
) -> Report:
    """Replay ``count`` times, or for ``seconds`` of wall time, whichever comes first.

    The time begins after an undisturbed run that shows how each replay must end, so at least
    ``workers`` replays are made.

    ``workers`` replays run at once (default: one a core), beside ``busy`` processes (default: one a
    core) that only compute. ``seed`` chooses stops, looks and rewinds. ``until_divergence`` ends
    the soak at the first divergence, which is all that a control has to show.
    """
    return _Soak(subject, workers or os.cpu_count() or 2, seed, until_divergence).run(
        count, seconds, os.cpu_count() or 2 if busy is None else busy
    )


class _Soak:
    def __init__(self, subject: Subject, workers: int, seed: int, until_divergence: bool) -> None:
        self.subject = subject
        self.workers = workers
        self.seed = seed
        self.until_divergence = until_divergence
        self.report = Report(subject.name)
        self.lock = threading.Lock()
        self.resident = threading.local()
        self.computers: list[Computer] = []

    def run(self, count: int | None, seconds: float | None, busy: int) -> Report:
        started = time.monotonic()
        numbers = iter(range(count if count is not None else 10**9))
        try:
            with _busy(busy), progress.task(f"soak: {self.subject.name}", count, "replays") as task:
                self.marks, self.expected = self._reference()
                deadline = time.monotonic() + (seconds if seconds is not None else 1e9)
                with ThreadPoolExecutor(self.workers) as pool:
                    done = [
                        pool.submit(self._work, numbers, deadline, task)
                        for _ in range(self.workers)
                    ]
                    for each in done:
                        each.result()
        finally:
            for computer in self.computers:
                computer.close()
        self.report.wall = time.monotonic() - started
        return self.report

    def _reference(self) -> tuple[list[State], bytes]:
        """States on the way, and the digest at the end of a run that was not disturbed."""
        subject = self.subject
        with subject.start() as computer:
            player = self._at(computer, subject.begin)
            player.replay_to(subject.history.point(subject.end))
            expected = computer.capture_afresh().digest(subject.pool)
            if subject.recorded not in (None, expected):
                self.report.divergences.append("undisturbed: its end differs from the recording")
            if subject.stored:
                return list(subject.stored), expected
            player = self._at(computer, subject.begin)
            marks = [subject.begin]
            step = (subject.end - subject.begin.at) // _MARKS
            for i in range(1, _MARKS):
                player.replay_to(subject.history.point(subject.begin.at + i * step))
                marks.append(computer.capture())
        return marks, expected

    def _at(self, computer: Computer, state: State) -> Player:
        player = Player(computer)
        player.restore(self.subject.history, self.subject.history.point(state.at), state)
        return player

    def _work(self, numbers: Iterator[int], deadline: float, task: progress.Task) -> None:
        while time.monotonic() < deadline:
            with self.lock:
                number = next(numbers, None)
            if number is None or (self.until_divergence and self.report.divergences):
                return
            self._replay(number)
            task.update(self.report.replays, f"{len(self.report.divergences)} diverged")

    def _replay(self, number: int) -> None:
        subject = self.subject
        chance = random.Random(f"{self.seed} {number}")
        path: list[str] = []
        computer: Computer | None = None
        booted = subject.boot is not None and chance.random() < _BOOT
        try:
            if booted:
                assert subject.boot is not None
                computer = subject.boot()
                player = Player(computer)
                player.history, player.place = subject.history, subject.history.point(0)
                path.append("power-on")
            else:
                if chance.random() < _FRESH:
                    computer = subject.start()
                    path.append("fresh")
                mark = self._mark(self.marks[number % len(self.marks)], path)
                player = self._at(computer or self._resident(), mark)
            stops, rewinds = self._wander(player, chance, path, rewind=not booted)
            end = player.computer.capture_afresh().digest(subject.pool)
        except BranchpointError as error:
            path.append(f"failed: {error.message}")
            stops = rewinds = 0
            end = b""
        finally:
            if computer is not None:
                computer.close()
        with self.lock:
            self.report.replays += 1
            self.report.stops += stops
            self.report.rewinds += rewinds
            self.report.from_power_on += booted
            if end != self.expected:
                self.report.divergences.append(f"replay {number}: {', '.join(path)}")

    def _wander(
        self, player: Player, chance: random.Random, path: list[str], *, rewind: bool
    ) -> tuple[int, int]:
        """Replay to the end with random stops, looks and rewinds; count stops and rewinds."""
        subject = self.subject
        stops = rewinds = 0
        mean = (subject.end - player.place.at) / _STOP_EVERY
        while player.place.at < subject.end:
            goal = min(subject.end, player.place.at + 1 + int(chance.expovariate(1 / mean)))
            self._disturbed(player, goal)
            path.append(f"run {goal}")
            stops += 1
            if goal == subject.end:
                break
            if chance.random() < _LOOK:
                state = player.computer.capture()
                path.append("look")
                if chance.random() < _AGAIN:
                    player = self._at(player.computer, self._mark(state, path))
            if rewind and rewinds < _MOST_REWINDS and chance.random() < _REWIND:
                mark = self._mark(chance.choice(self.marks), path)
                player = self._at(player.computer, mark)
                rewinds += 1
        return stops, rewinds

    def _disturbed(self, player: Player, goal: int) -> None:
        """Replay to ``goal`` (ns) while another thread wakes the emulator's main loop."""
        over = threading.Event()

        def disturb() -> None:
            while not over.wait(_NUDGE):
                player.computer.nudge()

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            player.replay_to(self.subject.history.point(goal))
        finally:
            over.set()
            thread.join()

    def _mark(self, state: State, path: list[str]) -> State:
        path.append(f"restore {state.at}")
        with self.lock:
            self.report.restored.add(state.at)
        return state

    def _resident(self) -> Computer:
        """This thread's own computer, which stays from replay to replay."""
        found: Computer | None = getattr(self.resident, "computer", None)
        if found is None or found.closed:
            found = self.resident.computer = self.subject.start()
            with self.lock:
                self.computers.append(found)
        return found


@contextmanager
def _busy(count: int) -> Iterator[None]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, start_new_session=True
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()
