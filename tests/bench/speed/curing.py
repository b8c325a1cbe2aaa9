"""What the cure for flags costs: the same states taken and entered with it and without."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.machine.computer import Computer, Cures
from branchpoint.machine.state import State
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import Point
from branchpoint.timeline.replaying.player import Player
from cost import cpu_time
from figures import Figure, at_most, median
from scale import Scale
from subjects import SUBJECTS, recorded

_APART = 100_000_000  # ns
_EACH = 30  # states of a pair of machines
_BAR = 0.03


def curing(scale: Scale, work: Path) -> list[Figure]:
    """Pairs of machines go through the same stretch in turns; each takes states and enters them.

    A machine may be slower than its like for all of its life, by where its memory lies. So there
    are many pairs, and the figure is the median of theirs.
    """
    figures = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        ratios: list[float] = []
        took: list[float] = []
        title = f"cost of the cure for flags, {subject.name}"
        with bp.open(path) as run, progress.task(title, scale.pairs, "pairs") as task:
            booted = run.replayer.snapshot
            begin = run.replayer.root.point(run.at(run.duration / 3).at)
            state = run.replayer.bring(run.replayer.root, begin).computer.capture()
            start = functools.partial(
                Computer, booted.spec, template=booted.template, pool=run.replayer.pool
            )
            for number in range(scale.pairs):
                cured, plain = _pair(run, begin, state, start, swapped=number % 2 == 1)
                ratios.append(median(cured) / median(plain))
                took += cured
                task.update(number + 1)
        note = f"median of {scale.pairs} pairs of machines; {median(took) * 1e3:.3g} ms of CPU"
        name = f"{subject.name}: take and enter a state: cost of the cure for flags"
        figures.append(at_most(name, median(ratios) - 1, _BAR, "%", note))
    return figures


def _pair(
    run: Recording, begin: Point, state: State, start: Callable[..., Computer], *, swapped: bool
) -> tuple[list[float], list[float]]:
    """CPU times (s) with the cure and without it; ``swapped``: the one without begins first."""
    took: dict[bool, list[float]] = {True: [], False: []}
    order = (False, True) if swapped else (True, False)
    with start(cures=Cures(flags=order[0])) as one, start(cures=Cures(flags=order[1])) as other:
        players = [Player(one), Player(other)]
        for player in players:
            player.restore(run.replayer.root, begin, state)
        for _ in range(_EACH):
            for which, player in zip(order, players, strict=True):
                player.replay_to(run.replayer.root.point(player.place.at + _APART))
                started = _cpu_time(player.computer)
                player.computer.restore(player.computer.capture())
                took[which].append(_cpu_time(player.computer) - started)
    return took[True], took[False]


def _cpu_time(computer: Computer) -> float:
    """CPU time (s) of this process and of the emulator: others do not disturb it much."""
    return time.process_time() + cpu_time(computer.pid)
