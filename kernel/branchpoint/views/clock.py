"""A clock: lets a branch's time pass while somebody watches, no faster than real time.

Time passes in small slices, in a separate thread, so that cells can use the branch between two
slices. A clock always stops at some point, so a page that is left open costs nothing.
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

_SLICE = 0.03  # shortest slice, in wall seconds and in virtual seconds
_LONGEST = 0.2  # longest slice, in virtual seconds
_LATE = 0.3  # a delay up to this many wall seconds is caught up


class Clock:
    """The clock of one branch, shared by all who watch it. Use :func:`clock_of` to get it."""

    def __init__(self) -> None:
        self.error = ""
        """The error that stopped it; empty when there was none."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._until = 0  # absolute ns at which it stops
        self._hurry = False
        self._watchers: list[Callable[[], None]] = []

    @property
    def running(self) -> bool:
        """Whether time passes now."""
        return self._thread is not None

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Call ``watcher()`` when the clock starts or stops, in any thread.

        Returns a function that removes the watcher again.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def run(self, branch: Branch, seconds: float) -> None:
        """Let ``seconds`` of virtual time pass in ``branch`` from now on; begins at once.

        When the clock runs already, the later of the two ends counts.
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
        """Stop after the current slice. This does not wait: see :meth:`join`."""
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
                        self._thread = None  # under the lock, so that `run` starts a new thread
                        break
                    self._hurry = False
                    if due > _LATE:  # the machine is slower than real time
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
    """The clock of a branch. All handles of one branch share it."""
    return _clocks.setdefault(branch._history, Clock())
