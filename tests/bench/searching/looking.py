"""How many stretches a search runs a minute, and what it costs to tell which code runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import branchpoint as bp
from branchpoint.machine.watching.ran import Covered
from branchpoint.programs.python import interpreters
from cost import cost
from figures import Figure, amount, at_most, median
from scale import Scale
from subjects import ARIA, ETCD, Subject, idle_etcd, recorded

_RATE_BAR = 900  # stretches a minute
_CODE_BAR = 0.06  # of CPU time
_SPAN = 5_000_000_000  # virtual ns in which the cost of telling is measured
_WARM = 40  # stretches before the time is taken


def looking(scale: Scale, work: Path) -> list[Figure]:
    """Idle etcd with all signals; then each of two systems with and without telling code."""
    return [_stretches(scale, work), *(_telling(each, scale, work) for each in (ETCD, ARIA))]


def _stretches(scale: Scale, work: Path) -> Figure:
    compose, path = idle_etcd(work).compose, work / "idle.bpx"
    shutil.rmtree(path, ignore_errors=True)

    def run(count: int) -> tuple[int, float, float]:
        started = time.monotonic()
        with (
            cost() as spent,
            bp.explore(compose, path, stretches=count, duration=3600, length=1) as found,
        ):
            number = len(found.tree)
        return number, time.monotonic() - started, spent.python

    run(_WARM)
    before = run(_WARM)  # what starting and ending takes
    number, wall, python = run(_WARM + scale.seconds)
    shutil.rmtree(path)
    wall, python, number = wall - before[1], python - before[2], number - before[0]
    rate = 60 * number / wall
    note = f"{number} in {amount(wall, 's')}; the search itself takes {python / wall:.1%} of a core"
    name = "three idle etcd nodes: stretches of 1 virtual s of a search, with all signals"
    return Figure(
        name, f"{rate:.0f} a minute ({note})", f"≥ {_RATE_BAR} a minute", rate >= _RATE_BAR
    )


def _telling(subject: Subject, scale: Scale, work: Path) -> Figure:
    """CPU time of the same seconds of a cluster at work, alternately."""
    path = recorded(subject, scale.recording, work)
    with bp.open(path) as run:
        pythons = interpreters(run.replayer.snapshot.spec.modules[-1])
    shares = []
    for seed in range(scale.pairs):
        spent = {}
        for told in (False, True) if seed % 2 else (True, False):
            with bp.open(path) as run:
                if told:
                    run.replayer.cover(Covered(pythons))
                history = run.at(scale.recording / 2).branch(seed)._history
                run.replayer.play(history, history.tip.at + _SPAN)  # what is translated stays
                with cost() as measured:
                    run.replayer.play(history, history.tip.at + _SPAN)
                spent[told] = measured.emulator
        shares.append(spent[True] / spent[False] - 1)
    what = "code and which lines of Python run" if pythons else "code runs"
    name = f"{subject.name}: CPU time that telling which {what} adds to 5 virtual s"
    return at_most(name, median(shares), _CODE_BAR, "%", f"median of {len(shares)} pairs")
