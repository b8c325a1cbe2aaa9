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
    """CPU time of the processes it started, dead or alive."""

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
    """CPU seconds of all processes that this one ever started."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
                ticks += int(fields[11]) + int(fields[12])
    return ended.ru_utime + ended.ru_stime + ticks * _TICK
