"""Systems whose P(failure) is known, and curves of them that are drawn without a machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from branchpoint.futures.allocation import Allocation, Settings, Wanted
from branchpoint.futures.draws import Draw

SECOND = 1_000_000_000
LENGTH = 30 * SECOND


@dataclass(frozen=True)
class Known:
    """A recorded run that ended in a failure, LENGTH after its start."""

    name: str
    chance: Callable[[float], float]
    """P(failure by the end) when everything is drawn anew from an instant, in seconds."""
    cause: float
    """Seconds at which most is decided."""


def _coins(t: float) -> float:
    return 0.25 if t < 10.3 else 0.5 if t < 20.1 else 1.0


def _retries(t: float) -> float:
    """Six tries, one every 4 s, each successful with probability 1/2; all recorded tries failed."""
    return 0.5 ** (6 - min(int(t / 4), 6))


SYSTEMS = [
    Known("two coins, heads twice", _coins, 20.1),
    Known("a geometric retry", _retries, 24.0),
    # Memoryless: before the first ring, only the two rates matter.
    Known("a race of two timers", lambda t: 2 / 5 if t < 17.7 else 1.0, 17.7),
    Known("baked in, seen much later", lambda t: 0.1 if t < 3.21 else 1.0, 3.21),
]


def future(system: Known, job: Wanted) -> Draw:
    """The result of one future: random, but always the same for the same future."""
    draw = np.random.default_rng([job.at, job.seed])
    failed = draw.random() < system.chance(job.at / SECOND)
    return Draw(
        at=job.at,
        seed=job.seed,
        verdict="failed" if failed else "passed",
        failed_at=job.at + SECOND if failed else None,
        end=job.at + 2 * SECOND,
        course="f0" if failed else "0f",
        causes=["exit db.1 1"] if failed else [],
    )


class Runner:
    """Runs futures of a system and counts them."""

    def __init__(self, system: Known) -> None:
        self.system = system
        self.draws: dict[Wanted, Draw] = {}

    def run(self, jobs: Iterable[Wanted]) -> Iterator[Draw]:
        for job in jobs:
            assert job not in self.draws, "no future is run twice"
            self.draws[job] = future(self.system, job)
            yield self.draws[job]

    def known(self, at: int, seed: int) -> Draw | None:
        return self.draws.get(Wanted(at, seed))


def settings(seed: int = 0, **changes: object) -> Settings:
    """A curve of 20 points to ±0.1 over the whole recording."""
    return Settings(**({"start": 0, "end": LENGTH, "seed": seed} | changes))  # type: ignore[arg-type]


def drawn(system: Known, wanted: Settings, atleast: int = 32) -> tuple[Allocation, Runner]:
    """A whole curve."""
    runner = Runner(system)
    allocation = Allocation(wanted, runner.known)
    while jobs := allocation.jobs(atleast):
        for _ in runner.run(jobs):
            pass
    return allocation, runner
