"""Many short futures: how many per minute, what their time is spent on, and what slack is worth."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from branchpoint.futures.running.workers import Pool
from cost import cost
from figures import Figure, amount
from scale import Scale
from speed.shares import shares
from subjects import idle_etcd, recorded

_LENGTH = 1_000_000_000  # virtual ns
_RATE_BAR = 1000  # futures a minute
_SLACK, _SLACK_BAR = "500us", 1.2  # with that timer slack: times as many futures a minute
_RECORDED = 40  # virtual seconds
_FORKS = 10  # instants from which futures start: the cost of a second differs
_WARM = 4  # unmeasured futures of each worker from each fork


class _Nodes:
    """Three etcd nodes without clients; seeds with the default noise; all cores."""

    def __init__(self, run: bp.Recording, pool: Pool) -> None:
        chance = random.Random(1)
        self.pool = pool
        self.forks = [run.origin + chance.randrange(_RECORDED * 10**9) for _ in range(_FORKS)]
        self._next = 0
        self.measure()

    def measure(self) -> None:
        """Begin to count."""
        self.count, self.wall, self.cpu = 0, 0.0, 0.0
        self.before = self.pool.shares

    def draw(self, fork: int, count: int) -> None:
        """So many futures from one of the forks."""
        jobs = [(self.forks[fork], self._next + i) for i in range(count)]
        started = time.monotonic()
        with cost() as spent:
            for draw in self.pool.run(jobs):
                assert draw.verdict == "passed", draw
        self.wall += time.monotonic() - started
        self.cpu += spent.emulator
        self.count += count
        self._next += count

    @property
    def by_cpu(self) -> float:
        """Futures a minute on cores with nothing else to do."""
        return 60 * self.pool.count * self.count / self.cpu


@contextmanager
def _nodes(work: Path, slack: str = "") -> Iterator[_Nodes]:
    path = recorded(idle_etcd(work, slack), _RECORDED, work)
    with (
        bp.open(path) as run,
        Pool(run, bp.failure("exit:*"), _LENGTH, relative=True) as pool,
    ):
        yield _Nodes(run, pool)


def futures(scale: Scale, work: Path) -> list[Figure]:
    """Alternately from nodes as they are, and with timers that may be late."""
    with _nodes(work) as usual, _nodes(work, _SLACK) as lazy:
        with progress.task("futures of idle etcd", 2 * _FORKS, "forks") as task:
            for fork in range(_FORKS):
                for nodes in usual, lazy:
                    nodes.draw(fork, _WARM * nodes.pool.count)
                task.update(fork)
            for nodes in usual, lazy:
                nodes.measure()
            for fork in range(_FORKS):
                for nodes in usual, lazy:
                    nodes.draw(fork, scale.seconds // _FORKS)
                task.update(_FORKS + fork + 1)
        return [*_figures(usual, lazy), shares("their wall time", usual.before, usual.pool.shares)]


def _figures(usual: _Nodes, lazy: _Nodes) -> list[Figure]:
    rate = usual.count / usual.wall * 60
    note = (
        f"{usual.count} in {amount(usual.wall, 's')}, {usual.pool.count} workers; CPU time of one "
        f"{amount(usual.cpu / usual.count * 1e3, 'ms')}, which makes "
        f"{usual.by_cpu:.0f} a minute on cores with nothing else to do"
    )
    name = "three idle etcd nodes: futures of 1 virtual s, seeded, with noise"
    gain = lazy.by_cpu / usual.by_cpu
    return [
        Figure(name, f"{rate:.0f} a minute ({note})", f"≥ {_RATE_BAR} a minute", rate >= _RATE_BAR),
        Figure(
            f"the same with timer_slack: {_SLACK}, alternately in one run",
            f"{gain:.2f} times as many (CPU time of one "
            f"{amount(lazy.cpu / lazy.count * 1e3, 'ms')})",
            f"≥ {_SLACK_BAR}", gain >= _SLACK_BAR,
        ),
    ]  # fmt: skip
