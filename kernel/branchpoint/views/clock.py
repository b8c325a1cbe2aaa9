"""A clock: lets a branch's time pass while somebody watches, and no faster than he can.

Time passes in small slices, in a thread of its own, so cells that work with the branch meanwhile
get their turn. It always has an end: a page left open costs nothing.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable

from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.replaying.history import History

_SLICE = 0.03  # seconds, of both kinds of time, that pass at once at least
_LONGEST = 0.2  # virtual seconds that pass at once at most
_LATE = 0.3  # wall seconds behind virtual time that are made up for


class Clock:
    """The clock of one branch, for all who watch that. Got by :func:`clock_of`."""

    def __init__(self) -> None:
        self.error = ""
        """Why it stopped by itself, when that was no good reason."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._until = 0  # absolute ns at which it stops
        self._hurry = False
        self._watchers: list[Callable[[], None]] = []

    @property
    def running(self) -> bool:
        """Whether time passes."""
        return self._thread is not None

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Have ``watcher()`` called when it starts or stops, in any thread; gives the undo."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def run(self, branch: Branch, seconds: float) -> None:
        """Let ``seconds`` of virtual time pass in ``branch`` from now on, or more if it is told so.

        It begins at once.
        """
        with self._changed:
            self._until = max(self._until, branch._history.tip.at + round(seconds * 1e9))
            self._hurry = True
            self._changed.notify()
            if self._thread is not None:
                return
            self.error = ""
            self._thread = threading.Thread(
                target=self._work, args=(branch,), name="branchpoint clock", daemon=True
            )
            self._thread.start()
        self._tell()

    def pause(self) -> None:
        """Stop it after the slice that passes now. Not waited for: see :meth:`join`."""
        with self._changed:
            self._until = 0
            self._changed.notify()

    def join(self) -> None:
        """Wait until it has stopped."""
        thread = self._thread
        if thread is not None:
            thread.join()

    def _work(self, branch: Branch) -> None:
        began, passed = time.monotonic(), 0.0
        try:
            while True:
                with self._changed:
                    left = (self._until - branch._history.tip.at) / 1e9
                    due = time.monotonic() - began - passed
                    if left > 0 and due < _SLICE and not self._hurry:
                        self._changed.wait(_SLICE - due)
                        continue
                    if left <= 0 or branch.run.closed:
                        self._thread = None  # here: who runs it now gets a new one
                        break
                    self._hurry = False
                    if due > _LATE:  # the machine is slower than time
                        began += due - _LATE
                    seconds = min(max(due, _SLICE), _LONGEST, left)
                with progress.unseen():
                    branch.wait(seconds)
                passed += seconds
        except BranchpointError as error:
            self.error = str(error)
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None
            self._tell()

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            watcher()


_clocks: weakref.WeakKeyDictionary[History, Clock] = weakref.WeakKeyDictionary()


def clock_of(branch: Branch) -> Clock:
    """The clock of a branch: the same one for all handles of it."""
    return _clocks.setdefault(branch._history, Clock())
