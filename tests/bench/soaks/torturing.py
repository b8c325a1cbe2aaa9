"""The systems that torture the machine, as subjects of soaks: parts of recordings, and branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import branchpoint as bp
from branchpoint.machine.computer import Cures
from branchpoint.soak import Subject, subject_between, windows
from branchpoint.torture.branches import Branches, branch_often
from branchpoint.torture.coverage import coverage
from branchpoint.torture.systems import FOREIGN, PROBES, RUNTIMES
from subjects import recorded, torture

_LENGTHS = {FOREIGN: 110, RUNTIMES: 24}  # virtual s: one round of stress-ng takes 110
_PROBED = 12  # virtual s
_WINDOW = 2  # virtual s
_WITHOUT = {"": Cures(), "flags": Cures(flags=False), "accessed bits": Cures(young=False)}


def foreign(work: Path) -> tuple[list[tuple[Path, int, int]], str]:
    """The parts to soak, each from one checkpoint of a recording to a later one (ns), so that every
    checkpoint is in one of them; and what they cover together."""
    parts, covered = [], []
    for file, seconds in _LENGTHS.items():
        path = recorded(torture(work, file), seconds, work)
        with bp.open(path) as run:
            parts += [(path, *window) for window in windows(run, _WINDOW)]
            known = coverage(run)
            print(known, flush=True)
            covered.append(known.brief)
    return parts, ", ".join(covered)


@contextmanager
def part(path: Path, begin: int, end: int) -> Iterator[Subject]:
    """One part as the subject of a soak; its memory is given back afterwards."""
    with bp.open(path) as run:
        yield subject_between(run, begin, end)
        run.replayer.pool.close()


def branches(work: Path, count: int, *, seed: int, workers: int, without: str = "") -> Branches:
    """``count`` branches from each probe; ``without`` names a cure that is left out until a branch
    differs."""
    with bp.open(recorded(torture(work, PROBES), _PROBED, work)) as run:
        return branch_often(
            run, count, workers=workers, seed=seed, cures=_WITHOUT[without],
            name=f"probes without the cure for {without}" if without else "probes",
            until_parted=bool(without),
        )  # fmt: skip
