"""The core stream as a file that only grows."""

from __future__ import annotations

import os

from . import frames


class StreamFile:
    """Whole frames in a file, byte n of the file being byte n of the stream.

    Opening reads the file through once: ``frame`` is the last one (None in an empty stream), and a
    frame that was cut off when its writer died is removed.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, 0)
        found, self.length = frames.parse(data)
        self.frame = found[-1] if found else None
        os.ftruncate(self._descriptor, self.length)

    def append(self, data: bytes, last: frames.Frame) -> None:
        """Adds whole frames, the last of which is ``last``."""
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self.length + written)
        self.length += len(data)
        self.frame = last

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes from ``offset`` on, fewer at the end."""
        return os.pread(self._descriptor, length, offset)
