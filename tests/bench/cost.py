"""The cost of some work: wall time, and CPU time of Python, of emulators and of other processes."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_TICK = 1 / os.sysconf("SC_CLK_TCK")


@dataclass
class Cost:
    """Seconds."""

    wall: float = 0.0
    python: float = 0.0
    """CPU time of this process, all threads."""
    emulator: float = 0.0
    """CPU time of the processes it started, running or ended, and of their children."""
    others: float = 0.0
    """CPU time that all other processes of this computer used meanwhile."""

    @property
    def cpu(self) -> float:
        return self.python + self.emulator

    @property
    def disturbed(self) -> float:
        """The share of this computer's cores that other processes used."""
        return self.others / (self.wall * (os.cpu_count() or 1))


@contextmanager
def cost() -> Iterator[Cost]:
    """Measures the ``with`` block; read the result after it."""
    spent = Cost()
    started = time.monotonic(), time.process_time(), children_cpu(), _everybody()
    try:
        yield spent
    finally:
        spent.wall = time.monotonic() - started[0]
        spent.python = time.process_time() - started[1]
        spent.emulator = children_cpu() - started[2]
        spent.others = max(0.0, _everybody() - started[3] - spent.cpu)


def adopt() -> None:
    """Become the parent of all descendants whose own parent ends before them."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def bury() -> None:
    """Wait for all children, including adopted ones: only then is their time counted."""
    with contextlib.suppress(ChildProcessError):  # none is left
        while True:
            os.wait()


def children_cpu() -> float:
    """CPU seconds of all processes that this one ever started, and of their children."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime + _ticks("self") * _TICK


def cpu_time(pid: int) -> float:
    """CPU seconds of a running process, all threads, as clock_getcpuclockid(3) tells; 0 when it
    has ended.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _everybody() -> float:
    """CPU seconds of all processes since this computer was started, the kernel's included."""
    user, nice, system, _, _, irq, softirq, *_ = (
        int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) * _TICK


def _ticks(pid: str) -> int:
    """Clock ticks of the running processes below one, and of the ended ones below those."""
    ticks = 0
    with contextlib.suppress(OSError):  # it ended meanwhile
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in listed.read_text().split():
                fields = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].split()
                ticks += sum(map(int, fields[11:15])) + _ticks(child)
    return ticks
