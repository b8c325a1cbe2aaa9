"""A recording that one process opens several times shares its files and emulators.

Each opening is an object of its own, so that everybody closes only what they opened. What the
openings share ends with the last of them, whether it is closed or garbage-collected.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from weakref import WeakValueDictionary, finalize

from branchpoint.errors import RecordingError
from branchpoint.guest.snapshot import Snapshot
from branchpoint.timeline.directory import Future, RecordingFiles
from branchpoint.timeline.replaying.history import History, Point
from branchpoint.timeline.replaying.replayer import Replayer

lock = threading.RLock()
"""Held between finding an open recording and holding it, so that it is not closed in between.

It is re-entrant, because the garbage collector may close an opening in a thread that has the lock.
"""

_open: WeakValueDictionary[tuple[int, int], Shared] = WeakValueDictionary()


class Shared:
    """What all openings of one recording have in common: its files, its emulators, its branches."""

    def __init__(self, files: RecordingFiles, snapshot: Callable[[], Snapshot]) -> None:
        self.files = files
        log, self.gaps = files.load_events()
        head = files.manifest
        count = bisect_left(head.inputs, head.end, key=lambda given: given.at)
        # A recorder writes events before it moves the end: when it was killed, some lie after it.
        root = History(list(head.inputs), Point(head.end, count), log.fork(head.end))
        self.replayer = Replayer(snapshot, root, files, self.gaps)
        self.branched: WeakValueDictionary[int, History] = WeakValueDictionary()
        """The branches that are still used, in the order in which they were made."""
        self.numbers = itertools.count()
        self.named: dict[str, Future] = {}
        """Branches whose ids were shown or asked for since it was opened, the first one first."""
        self._holders: set[object] = set()
        with lock:
            _open.setdefault(files.identity, self)

    def hold(self, holder: object) -> finalize[[object], object]:
        """Count one more opening: ``holder``. Call the result to close it."""
        mark = object()
        self._holders.add(mark)
        closing = finalize(holder, self._release, mark)
        closing.atexit = False  # emulators end by themselves; other threads may still be working
        return closing

    def _release(self, mark: object) -> None:
        with lock:
            self._holders.discard(mark)
            if self._holders:
                return
            if _open.get(self.files.identity) is self:
                del _open[self.files.identity]
            try:
                self.replayer.close()
            finally:
                self.files.close()


def find(path: Path | str) -> Shared | None:
    """The recording at ``path``, when this process has it open; else None."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return _open.get((status.st_dev, status.st_ino))


def expect_in_place(files: RecordingFiles) -> None:
    """Who opens an open recording by its path has to get the same one.

    :raises RecordingError: when it was moved, deleted, or replaced by another recording.
    """
    found = None
    with contextlib.suppress(OSError):
        status = files.path.stat()
        found = status.st_dev, status.st_ino
    if found != files.identity:
        what = "is not there" if found is None else "is another recording now"
        raise RecordingError(
            f"{files.path} {what}: it was moved or replaced since it was opened",
            "open the one that you mean: branchpoint.open",
        )
