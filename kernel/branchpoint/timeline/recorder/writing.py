"""Writing a recording while its machine runs."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, Generic, TypeVar

from branchpoint import progress
from branchpoint.clock import format_vtime
from branchpoint.errors import BranchpointError, GuestEnded
from branchpoint.events.event import Event
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Judge, Stretch
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.player import Player

_GRID = 1_000  # ns; of the instants between: on any processor, an instruction ends there
_STEP = 500_000_000  # ns; checkpoints lie on its multiples
_WORK = 0.3  # s of the emulator's CPU time between two, which a rewind may have to replay
_FAR = 4_000_000_000  # ns between two at most, however idle the system is
_BEHIND = 4  # checkpoints not written yet; the first has all pages changed since boot
_LAST, _PARTS = 5, 4  # so many stretches before a failure are cut into so many parts each

R = TypeVar("R", bound=Recording)


class Writer(Generic[R]):
    """Lets a system run on and stores its recording meanwhile.

    A thread writes what is to be stored while the machine runs on, a few checkpoints behind.
    """

    def __init__(self, recording: R, until: Failure | None, instants: Collection[int] = ()) -> None:
        """``until`` is the failure that ends it. Checkpoints are taken where they are due, and at
        ``instants`` (absolute ns)."""
        self.recording = recording
        self.until = until
        self.instants = instants
        self.files = recording.files
        self.replayer = recording.replayer
        self.root = self.replayer.root
        self._written = 0
        """Events that are stored."""
        self._thread = ThreadPoolExecutor(1, "recorder")
        self._writing: list[Future[None]] = []
        """What the thread was given, the oldest first."""
        self._failed = False
        """Whether the thread could not write something."""
        self._last = self.root.tip.at, 0.0
        """The last checkpoint: its instant (ns), and the emulator's CPU time (s) then."""

    def run(self, duration: int, after: int) -> None:
        """Run for ``duration`` (ns) from set-up complete, or until the failure ``until``."""
        origin = self.files.manifest.origin
        end = origin + duration
        judge = self._judge_of(end)

        def failed(new: list[Event]) -> bool:
            if judge is None:
                return False
            return judge.feed(new) is not None or judge.settle(self.root.tip.at) is not None

        with progress.task(
            f"recording {self.files.manifest.title}", duration / 1e9, "virtual s"
        ) as task:
            over = ""
            if not failed(self._since_set_up()):
                over = self._play_to_end(end, failed, task)
            at = None
            if judge is not None:  # a guest that has ended is not silent after that
                at = judge.settle(self.root.tip.at) if over else judge.finish()
            if self.until is not None and at is not None:
                self.save(ended=self.until.name, failure=at)
                if not over:
                    self._play_to_end(self.root.tip.at + after, None, task)
                self._finish()
                self._look_closely(at)
            else:
                ended = over or f"ran for {format_vtime(duration)} s"
                self.save(ended=ended + self._before_set_up())

    def _play_to_end(self, end: int, stop: Any, task: progress.Task) -> str:
        """As :meth:`play`; returns why, when the guest ends the machine on the way."""
        try:
            self.play(end, stop, task)
        except GuestEnded:
            player = self.replayer.bring(self.root, self.root.tip)
            if player.place.at > self._last[0]:
                self._checkpoint(player)
            return f"the guest ended: {player.computer.ended}"
        return ""

    def _look_closely(self, failure: int) -> None:
        """Add checkpoints before a failure, where people will look: a rewind is mostly replay."""
        known = [at for at in self.files.checkpoints if at < failure][-_LAST:]
        wanted = [
            begin + (end - begin) * part // _PARTS // _GRID * _GRID
            for begin, end in pairwise([*known, failure])
            for part in range(1, _PARTS)
        ]
        with progress.task("adding checkpoints before the failure", len(wanted)) as task:
            for number, at in enumerate(wanted):
                if at not in self.files.checkpoints:
                    self.replayer.store(self.replayer.bring(self.root, self.root.point(at)))
                task.update(number + 1)

    def _since_set_up(self) -> list[Event]:
        """The events since set-up was complete. This is noticed a little later than it happens, and
        a failure may come in between.
        """
        origin, columns = self.files.manifest.origin, self.root.log.columns()
        first = int(columns.at.searchsorted(origin, "right"))
        return [columns.event(position, origin) for position in range(first, len(columns))]

    def _before_set_up(self) -> str:
        """Words about a failure that came during set-up, too early to end the recording."""
        origin = self.files.manifest.origin
        if self.until is None:
            return ""
        begin, columns = self.recording.earliest, self.root.log.columns()
        nothing = self.root.log.fork(begin).columns()
        judge = self.until.judge(Stretch(begin, origin, begin, nothing))
        at = judge.feed(columns.event(position, origin) for position in range(len(columns)))
        if at is None:
            return ""
        return f"; {self.until.name} came earlier, during set-up, at {format_vtime(at - origin)} s"

    def _judge_of(self, end: int) -> Judge | None:
        """The judge of the failure that is waited for; None: the recording runs for its time."""
        if self.until is None:
            return None
        origin = self.files.manifest.origin
        past = self.root.log.fork(origin).columns()
        judge = self.until.judge(Stretch(origin, end, origin, past))
        if judge.waiting:
            raise BranchpointError(
                f"a recording cannot wait for {self.until.name!r}: the command would be part of it",
                "record for some time, and run it in branches",
            )
        return judge

    def play(self, end: int, stop: Any, task: progress.Task | None = None) -> None:
        """Let the system run on to ``end``, with checkpoints so close that replays stay short."""
        origin = self.files.manifest.origin
        while self.root.tip.at < end:
            mark = self._next_mark(self.root.tip.at)
            stopped = self.replayer.play(self.root, min(mark, end), stop)
            player = self.replayer.bring(self.root, self.root.tip)
            if stopped or self.root.tip.at >= end or self._due(player):
                self._checkpoint(player)
            if task is not None:
                task.update((self.root.tip.at - origin) / 1e9)
            if stopped:
                return

    def _next_mark(self, now: int) -> int:
        """The next instant at which a checkpoint may be due."""
        step = (now // _STEP + 1) * _STEP
        return min([step, *(at for at in self.instants if at > now)])

    def _due(self, player: Player) -> bool:
        now, (at, spent) = player.place.at, self._last
        return now in self.instants or now >= at + _FAR or _cpu_time(player) >= spent + _WORK

    def _checkpoint(self, player: Player) -> None:
        self._last = player.place.at, _cpu_time(player)
        store, save = self.replayer.checkpoint(player), self._saving()

        def write() -> None:
            if self._failed:
                return  # the checkpoint that it differs from was not written
            self._failed = True
            store()
            save()
            self._failed = False

        self._writing.append(self._thread.submit(write))
        self._finish(_BEHIND)

    def _saving(self, **changes: Any) -> Callable[[], None]:
        """A function that stores the events so far, with ``changes`` to the manifest."""
        columns, end = self.root.log.columns(), self.root.tip.at

        def save() -> None:
            new = [columns.event(i) for i in range(self._written, len(columns))]
            self.files.events.add(new)
            self._written = len(columns)
            self.files.save(self.files.manifest.with_(end=end, **changes))

        return save

    def _finish(self, behind: int = 0) -> None:
        """Wait until the thread has written all but the last ``behind`` of its jobs.

        :raises RecordingError: when one could not be written, for example because the disk is full.
        """
        done = self._writing[: max(0, len(self._writing) - behind)]
        wait(done)
        self._writing = self._writing[len(done) :]
        for each in done:
            each.result()

    def save(self, **changes: Any) -> None:
        """Store what happened so far, with ``changes`` to the manifest."""
        self._finish()
        self._saving(**changes)()

    def __enter__(self) -> Writer[R]:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """After an error, what was recorded so far is usable. The caller did not get the recording
        then, so it is closed here, and can be opened again.
        """
        with contextlib.ExitStack() as last:
            if kind is not None:
                last.callback(self.recording.close)
            last.callback(self._thread.shutdown)
            if kind is not None:
                self.save()


def _cpu_time(player: Player) -> float:
    """CPU time that the player's emulator has used so far, in s."""
    pid = player.computer.pid
    return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) does
