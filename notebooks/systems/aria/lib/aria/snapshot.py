# pathlib takes longer to import than everything else here together:
# ruff: noqa: PTH104, PTH123, PTH208
"""Snapshots of the tip retransmitter: where it was in the core stream, and what it had counted.

One S-expression a file, `<stream time in ns>.sexp`:

    (snapshot
      (metadata (core_stream_length 3156) (stream_time "2025-11-28T21:59:46.120000000Z")
                (sequence 47))
      (publishers (publisher "primary.publisher.1" (messages 24) (bytes 1710)) …))
"""

from __future__ import annotations

import os

from . import sexp, times
from .sexp import Symbol

SUFFIX = ".sexp"


class Snapshot:
    """State after the first ``core_stream_length`` bytes of the core stream."""

    def __init__(self) -> None:
        self.core_stream_length = 0
        self.stream_time_ns = 0
        self.sequence = 0
        self.publishers: dict[str, tuple[int, int]] = {}  # name: (messages, bytes)

    def save(self, directory: str) -> None:
        """Writes the file in one step: a reader finds all of it or nothing."""
        path = f"{directory}/{self.stream_time_ns:020d}{SUFFIX}"
        with open(path + ".new", "w") as file:
            file.write(sexp.dump(self._expression()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.rename(path + ".new", path)

    def _expression(self) -> list[object]:
        return [
            Symbol("snapshot"),
            [
                Symbol("metadata"),
                [Symbol("core_stream_length"), self.core_stream_length],
                [Symbol("stream_time"), times.show(self.stream_time_ns)],
                [Symbol("sequence"), self.sequence],
            ],
            [
                Symbol("publishers"),
                *(
                    [
                        Symbol("publisher"),
                        name,
                        [Symbol("messages"), messages],
                        [Symbol("bytes"), size],
                    ]
                    for name, (messages, size) in sorted(self.publishers.items())
                ),
            ],
        ]


def latest(directory: str, max_stream_time_ns: int | None = None) -> str | None:
    """The text of the newest snapshot (not after ``max_stream_time_ns``), None without any."""
    names = sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX))
    if max_stream_time_ns is not None:
        names = [name for name in names if int(name[: -len(SUFFIX)]) <= max_stream_time_ns]
    if not names:
        return None
    with open(f"{directory}/{names[-1]}") as file:
        return file.read()


def load(text: str) -> Snapshot:
    """The snapshot that :meth:`Snapshot.save` wrote as ``text``."""
    tree = sexp.load(text)
    snapshot = Snapshot()
    snapshot.core_stream_length = sexp.find(tree, ".snapshot.metadata.core_stream_length")[1]
    snapshot.stream_time_ns = times.parse(sexp.find(tree, ".snapshot.metadata.stream_time")[1])
    snapshot.sequence = sexp.find(tree, ".snapshot.metadata.sequence")[1]
    for _, name, (_, messages), (_, size) in sexp.find(tree, ".snapshot.publishers")[1:]:
        snapshot.publishers[name] = (messages, size)
    return snapshot
