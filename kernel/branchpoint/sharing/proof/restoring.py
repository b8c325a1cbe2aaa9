"""Entering every known state of a recording, and running on to the next one that is known.

A replay from power-on restores no checkpoint, so it does not show what a saved state lacks. Here
each state is restored, in shuffled order: all in one emulator, which was somewhere else before, and
each in a fresh one. Up to the next known state the guest must say what it said in the replay from
power-on, and there it must be in that state.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass

from branchpoint import progress
from branchpoint.errors import DivergenceError, MachineError, RecordingError
from branchpoint.machine.state import State
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.replaying.player import Player
from branchpoint.timeline.replaying.replayer import Replayer

_SEED = 11  # of the order
_AT_ONCE = 4  # emulators at most, however many cores there are
_TICK = 0.2  # seconds between two looks how far it is


@dataclass(frozen=True)
class Stretch:
    """From one known state to the next."""

    start: int
    """Absolute ns."""
    end: int
    """Absolute ns."""
    digest: bytes
    """Digest at the end, in the replay from power-on; empty where the recording has it."""
    state: State | None = None
    """The state at the start; None: the stored checkpoint."""


class Restoring:
    """The stretches of one recording, restored and run, as many at once as there are cores."""

    def __init__(self, replayer: Replayer, history: History, stretches: Iterable[Stretch]) -> None:
        """``history`` is the replay from power-on with which they are compared."""
        self.problems: list[str] = []
        """What was not the same, in words."""
        self.in_one = 0
        """How many were the same in one emulator, one after the other."""
        self.afresh = 0
        """How many were the same in an emulator of their own."""
        self.passed = 0
        """ns of virtual time, of both kinds."""
        self._replayer = replayer
        self._history = history
        self._stretches = list(stretches)
        random.Random(_SEED).shuffle(self._stretches)
        self._lock = threading.Lock()
        self._players: set[Player] = set()
        self._stopped = False

    def run(self, report: Callable[[], None]) -> None:
        """Run all stretches; ``report`` is called now and then, and may raise to stop this."""
        count = min(_AT_ONCE, len(os.sched_getaffinity(0)))
        with ThreadPoolExecutor(count, "restoring") as pool:
            jobs = [pool.submit(self._in_one)]
            jobs += [pool.submit(self._afresh, stretch) for stretch in self._stretches]
            try:
                while wait(jobs, _TICK).not_done:
                    report()
            except BaseException:
                self._stop()
                raise
            for job in jobs:
                job.result()
        self.problems.sort()

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for player in self._players:
                player.close()

    def _in_one(self) -> None:
        left = list(self._stretches)
        while left and not self._stopped:  # after a difference, go on in another emulator
            with self._player() as player:
                while left and player.alive and not player.computer.ended:
                    stretch = left.pop()
                    self.in_one += self._same(player, stretch, "an emulator that was elsewhere")

    def _afresh(self, stretch: Stretch) -> None:
        with self._player() as player:
            same = self._same(player, stretch, "a fresh emulator")
        with self._lock:
            self.afresh += same

    @contextmanager
    def _player(self) -> Iterator[Player]:
        with progress.unseen():
            player = self._replayer.new_player()
            with self._lock:
                self._players.add(player)
            try:
                yield player
            finally:
                with self._lock:
                    self._players.discard(player)
                player.close()

    def _same(self, player: Player, stretch: Stretch, where: str) -> bool:
        """Restore and run one stretch. Returns whether it was the same; notes why not."""
        if self._stopped:
            return False
        replayer = self._replayer
        what = "checkpoint" if stretch.state is None else "state in memory"
        begin = f"the {what} at {replayer.vtime(stretch.start)}"
        problem = ""
        try:
            state = stretch.state or self._load(stretch.start)
        except RecordingError as error:
            problem = f"{begin}: {error.message}"
        else:
            try:
                self._run(player, stretch, state, what)
            except (DivergenceError, MachineError) as error:
                words = error.message.removeprefix(f"{replayer.path}: ")
                problem = f"{begin}, entered in {where}: {words}"
                player.close()
        with self._lock:
            self.passed += stretch.end - stretch.start
            if problem and not self._stopped and problem not in self.problems:
                self.problems.append(problem)
        return not problem

    def _load(self, at: int) -> State:
        with self._replayer.lock:
            return self._replayer.load(at)

    def _run(self, player: Player, stretch: Stretch, state: State, what: str) -> None:
        replayer, history = self._replayer, self._history
        player.restore(history, history.point(stretch.start), state, what)
        replayer.replay(player, history, history.point(stretch.end))
        if stretch.digest not in (b"", player.computer.digest()):
            raise DivergenceError(
                f"it is at {replayer.vtime(stretch.end)} in another state than the replay from "
                "power-on was"
            )
