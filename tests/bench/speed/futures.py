"""Many short futures: how many per minute, and what their time is spent on."""

from __future__ import annotations

import random
import time
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.explore.running.workers import Pool
from cost import cost
from figures import Figure, amount
from scale import Scale
from speed.shares import shares
from subjects import idle_etcd, recorded

_LENGTH = 1_000_000_000  # virtual ns
_RATE_BAR = 1000  # futures a minute
_RECORDED = 40  # virtual seconds
_FORKS = 10  # instants from which futures start: the cost of a second differs
_WARM = 4  # unmeasured futures of each worker from each fork


def futures(scale: Scale, work: Path) -> list[Figure]:
    """Three etcd nodes without clients; seeds with the default noise; all cores."""
    path = recorded(idle_etcd(work), _RECORDED, work)
    chance = random.Random(1)
    with bp.open(path) as run:
        nothing = bp.failure("exit:*")
        forks = [run.origin + chance.randrange(_RECORDED * 10**9) for _ in range(_FORKS)]
        with Pool(run, nothing, _LENGTH, relative=True) as pool:
            seeds = iter(range(10**9))
            jobs = [(at, next(seeds)) for at in forks for _ in range(_WARM * pool.count)]
            with progress.task("futures, to warm up", len(jobs), "futures") as task:
                for number, _ in enumerate(pool.run(jobs)):
                    task.update(number + 1)
            jobs = [(at, next(seeds)) for at in forks for _ in range(scale.seconds // _FORKS)]
            before = pool.shares
            started = time.monotonic()
            with (
                cost() as spent,
                progress.task("futures of idle etcd", len(jobs), "futures") as task,
            ):
                for number, draw in enumerate(pool.run(jobs)):
                    assert draw.verdict == "passed", draw
                    task.update(number + 1, f"{(number + 1) / task.elapsed * 60:.0f} a minute")
            wall = time.monotonic() - started
            found = _figures(len(jobs), wall, pool.count, spent.emulator)
            return [*found, shares("their wall time", before, pool.shares)]


def _figures(count: int, wall: float, workers: int, cpu: float) -> list[Figure]:
    rate = count / wall * 60
    note = (
        f"{count} in {amount(wall, 's')}, {workers} workers; CPU time of one "
        f"{amount(cpu / count * 1e3, 'ms')}, which makes "
        f"{60 * workers * count / cpu:.0f} a minute on cores with nothing else to do"
    )
    name = "three idle etcd nodes: futures of 1 virtual s, seeded, with noise"
    met = rate >= _RATE_BAR
    return [Figure(name, f"{rate:.0f} a minute ({note})", f"≥ {_RATE_BAR} a minute", met)]
