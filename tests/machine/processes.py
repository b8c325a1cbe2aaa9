"""Looking at processes: which exist, and whether they are gone."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

KILLS = int(os.environ.get("BRANCHPOINT_TEST_KILLS", "4"))
ROUNDS = [pytest.param(n, marks=pytest.mark.long if n else ()) for n in range(KILLS)]
"""For tests in which something is killed at a random instant."""
_LOOK = 0.005
"""Wall seconds between two looks: without rest, looking would take a core from what is awaited."""


def children_of(pid: int) -> dict[int, bytes]:
    """The processes whose parent is ``pid``, with their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            line = (entry / "cmdline").read_bytes()
            parent = int((entry / "stat").read_text().rpartition(") ")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            found[int(entry.name)] = line
    return found


def emulators_of(pid: int) -> list[int]:
    """Emulators started by process ``pid``, by this computer's QEMU or by the private one.

    The private one is started by its own loader: its name is not the first word of its command.
    """
    lines = children_of(pid)
    return [each for each in lines if b"/qemu-system-x86_64\0" in lines[each]]


def workers_of(pid: int) -> list[int]:
    """Worker processes started by process ``pid``."""
    lines = children_of(pid)
    programs = b"branchpoint.futures.running.worker", b"branchpoint.search.worker"
    return [each for each in lines if any(program in lines[each] for program in programs)]


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(_LOOK)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0] != "Z"
    except OSError:
        return False
