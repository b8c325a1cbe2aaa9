"""Brings emulators to any place in any history, from the nearest state known."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from branchpoint import progress
from branchpoint.clock import format_vtime
from branchpoint.errors import DivergenceError, GuestEnded, MachineError, RecordingError
from branchpoint.events.event import Event
from branchpoint.events.eventfile import Gap
from branchpoint.events.reports import END, end_of_machine
from branchpoint.guest import wire
from branchpoint.guest.snapshot import Snapshot
from branchpoint.machine.computer import Computer, Cures
from branchpoint.machine.pages import PagePool
from branchpoint.machine.state import State
from branchpoint.machine.watching.ran import NOTHING, Covered, Ran
from branchpoint.timeline.commands.bounding import Bound
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.replaying import checking, storing
from branchpoint.timeline.replaying.echo import Echo, Otherwise, news
from branchpoint.timeline.replaying.history import History, Point, Start
from branchpoint.timeline.replaying.player import Player

_PLAYERS = 2  # emulators kept; each has at most the machine's memory to itself
_NEAR = 50_000_000  # ns of replay that cost about as much as restoring a state
_NEVER = 2**62  # ns
_QUIET = 500_000_000  # ns without output of the guest, after which an interrupt is noticed
_SILENCE = 2_000_000_000  # ns in which a guest that runs at all has taken a command
_STATES = 64  # states kept in memory for one history
_REPORT = "run `branchpoint doctor`; if this engine is sound, report this as a bug"

Stop = Callable[[list[Event]], bool]


class Replayer:
    """The emulators of one recording, and the pages their states share. Safe between threads."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        root: History,
        files: RecordingFiles,
        gaps: Sequence[Gap] = (),
    ) -> None:
        """``snapshot`` is asked for only when a machine is first needed; ``gaps`` are where events
        of the recording are lost.
        """
        self._find_snapshot = snapshot
        self.root = root
        self.files = files
        self.gaps = gaps
        self.lock = threading.RLock()
        self._closed = False
        self._players: list[Player] = []
        self._covered: Covered | None = None
        self.ran: Ran = NOTHING
        """What they told of the last :meth:`play`; see :meth:`Computer.ran`."""
        self._taken: State | None = None
        """The last checkpoint; the next one is stored as the difference to it."""

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

    def named(self, start: Start | None) -> str:
        """A state from which a machine was made to run, in words."""
        return "power-on" if start is None else f"the {start.what} at {self.vtime(start.at)}"

    def new_player(self, covered: Covered | None = None) -> Player:
        """A fresh emulator, to be closed by the caller; ``covered``: what it is to tell."""
        start, cures = self.snapshot, Cures.as_of(self.files.manifest.engine.states)
        computer = Computer(
            start.spec,
            template=start.template,
            pool=self.pool,
            cures=cures,
            covered=covered or self._covered,
        )
        return Player(computer)

    def cover(self, covered: Covered) -> None:
        """From now on, have computers tell what code runs, and note it in :attr:`ran`."""
        with self.lock:
            if covered == self._covered:
                return
            for player in self._players:
                self._keep_tip(player)
                player.close()
            self._covered = covered

    # -- going somewhere

    def bring(self, history: History, goal: Point) -> Player:
        """A player that stands at ``goal``; the caller may use it until the next call.

        :raises RecordingError: when the recording was closed.
        """
        with self.lock:
            if self._closed:
                raise RecordingError(f"{self.path} is closed", "open it again: branchpoint.open")
            player = self._nearest(history, goal)
            self.replay(player, history, goal)
            return player

    def _nearest(self, history: History, goal: Point) -> Player:
        """A player at the latest place before ``goal`` that is cheap to reach."""
        self._drop_dead()
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
            player = self.free_player()
            player.restore(history, *known)
        assert player is not None
        if player.history is not history:
            self._keep_tip(player)
        player.history = history
        self._players.remove(player)
        self._players.append(player)  # the least recently used one is first
        return player

    def _drop_dead(self) -> None:
        """Forget the emulators that were closed, and those that died while nobody used them."""
        for player in [player for player in self._players if not player.alive]:
            player.close()
            self._players.remove(player)

    def free_player(self) -> Player:
        """A kept emulator that may be used elsewhere; not the one that :meth:`bring` gave last."""
        self._drop_dead()
        for player in [player for player in self._players if player.computer.ended]:
            player.close()
            self._players.remove(player)
        for player in self._players:
            if player.history is None:
                return player
        if len(self._players) < _PLAYERS:
            player = self.new_player()
            self._players.append(player)
            return player
        player = self._players[0]
        self._keep_tip(player)
        return player

    def _keep_tip(self, player: Player) -> None:
        """Keep the state at the tip of a branch before a player leaves: it is known only there."""
        history = player.history
        if history and history is not self.root and player.place == history.tip:
            self.remember(player)

    def _known_state(self, history: History, goal: Point) -> tuple[Point, State, str]:
        """Where a state on the way is known, that state, and what it is in words."""
        found = history.nearest_state(goal)
        limit = self.in_recording(history, goal)
        stored = self.files.nearest(limit.at)
        if stored is not None and (found is None or stored > found[0].at):
            place = self.root.point(stored)
            if place <= limit:
                state = self.root.states[place] = self.load(stored)
                self._forget(self.root)
                return place, state, "checkpoint"
        if found is not None:
            return *found, "state in memory"
        return self.booted()

    def booted(self) -> tuple[Point, State, str]:
        """The boot snapshot, with its place, and what it is in words."""
        return Point(self.snapshot.state.at, 0), self.snapshot.state, "boot snapshot"

    def in_recording(self, history: History, goal: Point) -> Point:
        """The last place of the recording on the way to ``goal``."""
        return min(limit for h, limit in history.lineage(goal) if h is self.root)

    def load(self, at: int) -> State:
        """The state of a stored checkpoint.

        :raises RecordingError: when it is damaged, or of another machine.
        """
        state = storing.load(self.files, at, self.snapshot.state.slots, self.pool)
        if state is None:
            raise RecordingError(
                f"{self.path}: the checkpoint at {self.vtime(at)} does not fit this boot snapshot",
                "the guest image or the emulator differs from the one that recorded",
            )
        return state

    def replay(
        self, player: Player, history: History, goal: Point, raws: list[wire.Raw] | None = None
    ) -> None:
        """Replay from where ``player`` stands to ``goal``, which is not after the tip.

        All that the guest says is compared with what it said before, and the state wherever its
        digest is known. ``raws`` is given the output of commands in raw mode and of terminals.

        :raises DivergenceError: when anything differs; the player is closed then.
        """
        if player.place == goal:
            return
        start, origin = player.place.at, self.files.manifest.origin
        marks = [at for at in self.files.digests if start < at <= self.shared(history, goal.at)]
        known = history.log.columns()
        echo, bound = Echo(known, start, goal.at, self.gaps), Bound(known, again=True)

        def hear(records: list[wire.Record]) -> None:
            echo.hear(bound.events(records, origin))
            if raws is not None:
                raws.extend(r for r in records if isinstance(r, wire.Raw))

        title = f"replaying to {self.vtime(goal.at)}"
        with (
            progress.task(title, (goal.at - start) / 1e9, "virtual s") as task,
            self.compared(player),
        ):
            for at in sorted(marks):
                player.replay_to(min(goal, history.point(at)), hear)
                self.verify(player)
                task.update((at - start) / 1e9)
            player.replay_to(goal, hear)
            echo.finish(goal.at, origin)

    def echo(self, history: History, until: int) -> Echo | None:
        """What has to be heard from the tip of ``history`` on, as long as it equals the recording.

        None when it does not equal it, or not any more. ``until`` (absolute ns) is how far it is
        needed.
        """
        start, shared = history.tip.at, self.shared(history, until)
        if start >= shared:
            return None
        return Echo(self.root.log.columns(), start, shared, self.gaps)

    @contextmanager
    def compared(self, player: Player) -> Iterator[None]:
        """A context in which what a player says is compared: a difference becomes an error.

        :raises DivergenceError: the player is closed then.
        """
        try:
            yield
        except Otherwise as difference:
            raise self._differs(player, difference) from None
        finally:
            if player.alive:
                player.mailbox.skip()  # also after an interrupt

    def _differs(self, player: Player, difference: Otherwise) -> DivergenceError:
        """The error for events that are not the known ones; the player is closed."""
        history, since, at = player.history, self.named(player.since), difference.at
        player.close()
        first = "when it was recorded"
        if history is not None and self.shared(history, at) < at:
            began = [each.began for each, _ in history.lineage(history.tip) if each.began]
            first = f"the first time, when it had run from {self.named(next(iter(began), None))}"
        return DivergenceError(
            f"{self.path}: at {self.vtime(at)} the guest, replayed from {since}, does not say what "
            f"it said {first}: {difference} (recorded with {self.files.manifest.engine})",
            _REPORT,
        )

    def shared(self, history: History, at: int) -> int:
        """The last instant (ns) up to ``at`` that ``history`` has in common with the recording."""
        return history.common(self.root, at)

    def _next_mark(self, history: History, shared: int) -> int:
        """The next instant after the tip at which the machine must be in a recorded state."""
        later = [at for at in self.files.digests if history.tip.at < at <= shared]
        return min(later, default=_NEVER)

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
                f"recording was, replayed from {self.named(player.since)} (recorded with {made})",
                _REPORT,
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
        self,
        history: History,
        until: int,
        stop: Stop | None = None,
        step: int = wire.DRAIN,
        *,
        events: bool = True,
    ) -> bool:
        """Let time pass at the tip of ``history``, up to ``until`` (ns), collecting events.

        After every ``step`` (ns) in which the guest said something, ``stop`` decides whether that
        is enough; if so, True is returned. An interrupt leaves the history at the last step.

        It ends with the instruction that is under way at ``until``.

        As long as nothing was done to it, it must equal the recording: its state wherever a digest
        is known and, unless ``events`` is false, all that the guest says.

        :raises DivergenceError: when it does not; the history stays at the last place that was
            right.
        """
        with self.lock:
            stopped = self._play(history, until, stop, step, events)
            if history is not self.root:
                checking.sample(self, history)
            return stopped

    def _play(
        self, history: History, until: int, stop: Stop | None, step: int, events: bool
    ) -> bool:
        player = self.bring(history, history.tip)
        start = history.tip.at
        if until > start:
            until += -until % self.snapshot.spec.hardware.instruction
        history.forget_after_tip()
        history.began = history.began or player.since
        shared = self.shared(history, until)
        echo = self.echo(history, until) if events else None
        mark = self._next_mark(history, shared)
        total = None if stop else (until - start) / 1e9  # a wait for events has no known length
        with (
            progress.task("running", total, "virtual s") as task,
            self._stoppable(history),
            self._covering(player),
        ):
            while history.tip.at < until:
                # Steps lie on a fixed grid: where one starts must not decide where one stops.
                quiet = (player.place.at // _QUIET + 1) * _QUIET
                try:
                    player.run_to(min(until, quiet, mark, player.next_input()), step)
                except GuestEnded:  # an event tells it
                    pass
                finally:  # an interrupt comes after the step
                    heard = self._collect(player, history, echo) if player.alive else []
                if history.tip.at == mark:
                    self.verify(player)
                    mark = self._next_mark(history, shared)
                task.update((history.tip.at - start) / 1e9, self.vtime(history.tip.at))
                if stop is not None and stop(heard):
                    return True
                self._expect_life(player, history)
                if player.computer.ended and history.tip.at < until:
                    raise GuestEnded(
                        f"{self.path}: the guest ended at {self.vtime(history.tip.at)}: "
                        f"{player.computer.ended}; no time passes after that",
                        "branch from an earlier moment",
                    )
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

    @contextmanager
    def _covering(self, player: Player) -> Iterator[None]:
        """Notes what code runs, without what ran on the way there."""
        with player.computer.watching() as watchers:
            watchers.begin()
        try:
            yield
        finally:
            self.ran = NOTHING
            if player.alive:
                with player.computer.watching() as watchers:
                    self.ran = watchers.take()

    def _collect(self, player: Player, history: History, echo: Echo | None) -> list[Event]:
        origin, said = self.files.manifest.origin, player.mailbox.drain()
        history.unsettle()
        if history.bound is None:
            history.bound = Bound(history.log.columns())
        events = history.bound.events(said, origin)
        raws = [record for record in said if isinstance(record, wire.Raw)]
        if player.computer.ended and not self._has_ended(history):
            events.append(end_of_machine(player.place.at, player.computer.ended, origin))
        with self.compared(player):
            if echo is not None:
                echo.hear(events)
                echo.finish(player.place.at, origin)
            events = news(history.log, events)
        for raw in raws:
            history.take(raw)
        history.log.extend(events)
        history.settle(player.place)
        self._tell(history, standing=False)
        return events

    def _expect_life(self, player: Player, history: History) -> None:
        """Give up on a guest in which even the agent does not run any more.

        :raises MachineError: when it has not taken a command for a long time.
        """
        given = history.inputs[: history.tip.count]
        if given and history.tip.at >= given[-1].at + _SILENCE and player.mailbox.waits:
            raise MachineError(
                f"{self.path}: at {self.vtime(history.tip.at)} the guest has not yet taken what "
                f"was sent to it at {self.vtime(given[-1].at)} ({given[-1].note}): it is "
                "suspended, or something occupies the processor",
                "branch from an earlier moment",
            )

    def _has_ended(self, history: History) -> bool:
        events = history.log.columns()
        return len(events) > 0 and events.event(len(events) - 1).type == END

    def _tell(self, history: History, *, standing: bool) -> None:
        for watcher in list(history.watchers):
            watcher(standing)

    # -- to and from the store

    def checkpoint(self, player: Player) -> Callable[[], None]:
        """Take the player's state, which is the recording's, as the next one to be stored.

        Call the result to store it: once, after those taken before. That may be in another thread,
        while the machine runs on.
        """
        state = player.computer.capture()
        before = self._taken
        self._taken = state
        self.root.states[player.place] = state
        self._forget(self.root)
        return lambda: self._store(state, before)

    def store(self, player: Player) -> None:
        """Store the player's state, which is the recording's, between those that are stored."""
        earlier = self.files.nearest(player.place.at)
        self._store(player.computer.capture(), None if earlier is None else self.load(earlier))

    def _store(self, state: State, before: State | None) -> None:
        storing.store(self.files, state, before, self.snapshot.state.slots, self.pool)
