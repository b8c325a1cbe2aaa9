"""What a stretch of work costs: wall time, and CPU time of Python and of emulators apart."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """Seconds."""

    wall: float = 0.0
    python: float = 0.0
    """CPU time of this process, all threads."""
    emulator: float = 0.0
    """CPU time of the processes it started, dead or alive, and of theirs."""

    @property
    def cpu(self) -> float:
        return self.python + self.emulator


@contextmanager
def cost() -> Iterator[Cost]:
    """Measures the ``with`` block; to be read after it."""
    spent = Cost()
    started = time.monotonic(), time.process_time(), children_cpu()
    try:
        yield spent
    finally:
        spent.wall = time.monotonic() - started[0]
        spent.python = time.process_time() - started[1]
        spent.emulator = children_cpu() - started[2]


def children_cpu() -> float:
    """CPU seconds of all processes that this one ever started, and of those that they did."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + _ticks("self") * _TICK


def _ticks(pid: str) -> int:
    """Clock ticks of the living processes under one, and of the dead ones under those."""
    ticks = 0
    with contextlib.suppress(OSError):  # it ended meanwhile
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].split()
                ticks += sum(map(int, fields[11:15])) + _ticks(child)
    return ticks
