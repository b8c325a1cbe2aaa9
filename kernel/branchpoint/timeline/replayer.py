"""Brings emulators to any place in any history, from the nearest state known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from branchpoint import progress
from branchpoint.errors import DivergenceError, RecordingError
from branchpoint.guest import wire
from branchpoint.guest.snapshot import Snapshot
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import TEMPLATE, PagePool
from branchpoint.machine.state import State
from branchpoint.timeline.checkpoints import AS_BOOTED, Checkpoint
from branchpoint.timeline.clock import format_vtime
from branchpoint.timeline.events import Event
from branchpoint.timeline.history import History, Point
from branchpoint.timeline.player import Player
from branchpoint.timeline.reports import from_guest
from branchpoint.timeline.store import RecordingFiles

_PLAYERS = 2  # emulators kept; each has at most the machine's memory to itself
_NEAR = 50_000_000  # ns of replay that cost about as much as restoring a state
_NEVER = 2**62  # ns
_QUIET = 500_000_000  # ns without a word from the guest, after which an interrupt is noticed
_STATES = 64  # states kept in memory for one history

Stop = Callable[[list[Event]], bool]


class Replayer:
    """The emulators of one recording, and the pages their states share. Safe between threads."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], root: History, files: RecordingFiles
    ) -> None:
        """``snapshot`` is asked for only when a machine is first needed."""
        self._find_snapshot = snapshot
        self.root = root
        self.files = files
        self.lock = threading.RLock()
        self._closed = False
        self._players: list[Player] = []
        self._taken: State | None = None
        """The checkpoint that the next one is stored as the difference to."""

    @cached_property
    def snapshot(self) -> Snapshot:
        return self._find_snapshot()

    @cached_property
    def pool(self) -> PagePool:
        return PagePool(self.snapshot.hashes)

    @property
    def path(self) -> Path:
        return self.files.path

    def vtime(self, at: int) -> str:
        return f"{format_vtime(at - self.files.manifest.origin)} s"

    def close(self) -> None:
        self._closed = True
        for player in self._players:
            player.close()
        self._players.clear()
        if "pool" in vars(self):  # it was needed, so it exists
            self.pool.close()

    def _new_player(self) -> Player:
        start = self.snapshot
        return Player(Computer(start.spec, template=start.template, pool=self.pool))

    # -- going somewhere

    def bring(self, history: History, goal: Point) -> Player:
        """A player that stands at ``goal``; it stays the caller's until the next call.

        :raises RecordingError: when the recording was closed.
        """
        with self.lock:
            if self._closed:
                raise RecordingError(f"{self.path} is closed", "open it again: branchpoint.open")
            player = self._nearest(history, goal)
            self._replay(player, history, goal)
            player.mailbox.skip()
            return player

    def _nearest(self, history: History, goal: Point) -> Player:
        """A player at the latest place before ``goal`` that is cheap to reach."""
        self._players = [player for player in self._players if player.alive]
        on_the_way = [
            player
            for player in self._players
            if player.history
            and player.place <= goal
            and history.holds(player.history, player.place)
        ]
        player = max(on_the_way, key=lambda player: player.place, default=None)
        known = None
        if player is None or player.place.at < goal.at - _NEAR:
            known = self._known_state(history, goal)
        if known and (player is None or player.place.at < known[0].at - _NEAR):
            player = self._free_player()
            player.restore(history, *known)
        assert player is not None
        if player.history is not history:
            self._keep_tip(player)
        player.history = history
        self._players.remove(player)
        self._players.append(player)  # the least recently used one is first
        return player

    def _free_player(self) -> Player:
        for player in self._players:
            if player.history is None:
                return player
        if len(self._players) < _PLAYERS:
            player = self._new_player()
            self._players.append(player)
            return player
        player = self._players[0]
        self._keep_tip(player)
        return player

    def _keep_tip(self, player: Player) -> None:
        """Before a player leaves the tip of a branch: only there its state is known."""
        history = player.history
        if history and history is not self.root and player.place == history.tip:
            self.remember(player)

    def _known_state(self, history: History, goal: Point) -> tuple[Point, State]:
        found = history.nearest_state(goal)
        limit = min(limit for h, limit in history.lineage(goal) if h is self.root)
        stored = self.files.nearest(limit.at)
        if stored is not None and (found is None or stored > found[0].at):
            place = self.root.point(stored)
            if place <= limit:
                state = self.root.states[place] = self.load(stored)
                self._forget(self.root)
                return place, state
        if found is not None:
            return found
        return Point(self.snapshot.state.at, 0), self.snapshot.state

    def load(self, at: int) -> State:
        """The state of a stored checkpoint.

        :raises RecordingError: when it is damaged, or of another machine.
        """
        checkpoint = self.files.checkpoint(at)
        numbers, hashes = self.files.pages_at(at)
        fresh = ~self.pool.known(hashes)
        if fresh.any():
            pages = self.files.pages.get(hashes[fresh])
            self.pool.intern(numbers[fresh], pages, hashes[fresh])
        slots = self.snapshot.state.slots.copy()
        slots[numbers] = self.pool.slots_of(numbers, hashes)
        state = State(at, checkpoint.devices, slots)
        if state.digest(self.pool) != checkpoint.digest:
            raise RecordingError(
                f"{self.path}: the checkpoint at {self.vtime(at)} does not fit this boot snapshot",
                "the guest image or the emulator differs from the one that recorded",
            )
        return state

    def _replay(self, player: Player, history: History, goal: Point) -> None:
        """Replay to ``goal``, comparing the state wherever its digest is known."""
        recorded = [
            at
            for at in self.files.digests
            if player.place.at < at <= goal.at and self._is_recorded(history, at)
        ]
        title = f"replaying to {self.vtime(goal.at)}"
        start = player.place.at
        with progress.task(title, (goal.at - start) / 1e9, "virtual s") as task:
            for at in [*sorted(recorded), goal.at]:
                player.replay_to(min(goal, history.point(at)))
                if at in recorded:
                    self.verify(player)
                task.update((at - start) / 1e9)
            player.replay_to(goal)

    def _is_recorded(self, history: History, at: int) -> bool:
        """Whether the machine at ``at`` in ``history`` must be the recorded one."""
        count = history.point(at).count
        return (
            at <= self.root.tip.at
            and count == self.root.point(at).count
            and history.inputs[:count] == self.root.inputs[:count]
        )

    def _next_mark(self, history: History) -> int:
        """The next instant after the tip at which the machine must be in a recorded state."""
        later = [at for at in self.files.digests if at > history.tip.at]
        mark = min(later, default=_NEVER)
        return mark if self._is_recorded(history, mark) else _NEVER

    def verify(self, player: Player) -> None:
        """Compare the machine with the recording's digest for this instant.

        :raises DivergenceError: when they differ; the player is dropped.
        """
        expected = self.files.digests[player.place.at]
        state = player.computer.capture()
        if state.digest(self.pool) != expected:
            at = player.place.at
            player.close()
            made = self.files.manifest.engine
            raise DivergenceError(
                f"{self.path}: the replay is at {self.vtime(at)} in another state than the "
                f"recording was (recorded with {made})",
                "run `branchpoint doctor`; if this engine is sound, report this as a bug",
            )

    # -- keeping states

    def remember(self, player: Player) -> State:
        """Keep the player's state in memory, for later visits of this place."""
        assert player.history is not None
        with self.lock:
            history, place = player.history, player.place
            state = history.states.get(place)
            if state is None:
                known = history.nearest_state(place)  # perhaps a parent's, left just here
                if known is None or known[0] != place:
                    known = place, player.computer.capture()
                state = known[1]
                history.states[place] = state
                self._forget(history)
            return state

    def _forget(self, history: History) -> None:
        while len(history.states) > _STATES:
            del history.states[next(iter(history.states))]

    # -- going on

    def play(
        self, history: History, until: int, stop: Stop | None = None, step: int = wire.DRAIN
    ) -> bool:
        """Let time pass at the tip of ``history``, up to ``until`` (ns), collecting events.

        After every ``step`` (ns) in which something was said ``stop`` is asked whether that is
        enough; True is returned then. Interrupting leaves the history at the last step.
        """
        with self.lock:
            player = self.bring(history, history.tip)
            start = history.tip.at
            history.forget_after_tip()
            mark = self._next_mark(history)
            total = None if stop else (until - start) / 1e9  # who waits does not know for how long
            with progress.task("running", total, "virtual s") as task, self._stoppable(history):
                while history.tip.at < until:
                    # Steps lie on a fixed grid: where one starts must not decide where one stops.
                    quiet = (player.place.at // _QUIET + 1) * _QUIET
                    try:
                        player.run_to(min(until, quiet, mark, player.next_input()), step)
                    finally:  # an interrupt comes after the step
                        events = self._collect(player, history) if player.alive else []
                    if history.tip.at == mark:
                        self.verify(player)
                        mark = self._next_mark(history)
                    task.update((history.tip.at - start) / 1e9, self.vtime(history.tip.at))
                    if stop is not None and stop(events):
                        return True
            return False

    @contextmanager
    def _stoppable(self, history: History) -> Iterator[None]:
        try:
            yield
        except KeyboardInterrupt as stop:
            stop.add_note(f"stopped by user at {self.vtime(history.tip.at)}; everything is usable")
            raise
        finally:
            self._tell(history, standing=True)

    def _collect(self, player: Player, history: History) -> list[Event]:
        events: list[Event] = []
        for record in player.mailbox.drain(history.log.latest):
            if isinstance(record, wire.Raw):
                number = record.number
                if record.stream == wire.TTY:
                    history.shown.setdefault(number, []).append((record.at, record.data))
                    continue
                history.raw.setdefault(number, {}).setdefault(record.stream, bytearray())
                history.raw[number][record.stream] += record.data
            else:
                events.append(from_guest(record, self.files.manifest.origin))
        history.log.extend(events)
        history.tip = player.place
        self._tell(history, standing=False)
        return events

    def _tell(self, history: History, *, standing: bool) -> None:
        for watcher in list(history.watchers):
            watcher(standing)

    # -- to and from the store

    def checkpoint(self, player: Player) -> Callable[[], None]:
        """Take the player's state, which is the recording's, as the next one to be stored.

        What is returned stores it: once, after those taken before; also in another thread, while
        the machine runs on.
        """
        state = player.computer.capture()
        before = self._taken
        self._taken = state
        self.root.states[player.place] = state
        self._forget(self.root)
        return lambda: self._store(state, before)

    def _store(self, state: State, before: State | None) -> None:
        slots_before = self.snapshot.state.slots if before is None else before.slots
        numbers = np.flatnonzero(slots_before != state.slots).astype(np.uint32)
        slots = state.slots[numbers]
        booted = slots == TEMPLATE
        hashes = np.zeros((len(numbers), len(AS_BOOTED)), np.uint8)
        hashes[~booted] = self.pool.hashes(slots[~booted])
        pages = np.zeros((len(numbers), 4096), np.uint8)
        pages[~booted] = self.pool.pages(slots[~booted])
        digest = state.digest(self.pool)
        parent = None if before is None else before.at
        self.files.add_checkpoint(
            Checkpoint(state.at, parent, digest, 0, state.devices, numbers, hashes), pages
        )
