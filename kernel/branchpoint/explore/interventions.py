"""What would have been without a fault: which ones decide, and how few are enough.

The guest draws its faults by itself, and can be told to skip the one with a certain number; all
others then come as they did. So a future without a fault differs from the recording in that alone,
and in what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.explore.cluster import open_pool
from branchpoint.explore.draws import Draw
from branchpoint.explore.future import Job
from branchpoint.explore.likelihood import question_of
from branchpoint.explore.proportion import LEVEL, difference
from branchpoint.guest import wire
from branchpoint.timeline import tables
from branchpoint.timeline.clock import SECOND, format_vtime
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.history import COMMAND, FAULT
from branchpoint.timeline.listing import inert
from branchpoint.timeline.manifest import Input
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.rerecord import R, rerecord
from branchpoint.timeline.seeds import NOISE

if TYPE_CHECKING:
    import pandas as pd

_EARLY = 20_000_000  # ns before a fault at which the guest is told to skip it: two of its looks
_MOST_SETS = 400  # of faults, that are tried from the smallest on
_WIDTH = 60  # characters of a fault that are shown


@dataclass(frozen=True)
class Happened:
    """A fault of the recording that the guest drew."""

    number: int
    at: int
    """Absolute ns."""
    vtime: float
    name: str
    """Its type and target: "kill db.1"."""

    def __str__(self) -> str:
        return f"{self.name} at {self.vtime:.3f} s"


def faults_of(run: Recording, before: int) -> list[Happened]:
    """The faults that the guest drew and that began before ``before`` (absolute ns)."""
    return [
        Happened(
            int(event.fields["id"]),
            event.at,
            event.vtime,
            inert(f"{event.fields.get('type', '')} {event.fields.get('target', '')}", _WIDTH),
        )
        for event in run.events.where(type="fault.start").after(run.start)
        if event.fields.get("id", "").isdecimal() and event.at < before
    ]


def without(run: Recording, fault: Happened) -> Input:
    """The input by which a fault does not happen."""
    at = max(fault.at - _EARLY, run.origin)
    data = wire.injector("skip", fault.number)
    return Input(at=at, kind=FAULT, data=data, note=f"without {fault.name}")


@dataclass(frozen=True)
class Decided:
    """One fault: how many variants of the recorded future fail with it, and without it."""

    fault: Happened
    failing: int
    of: int
    failing_without: int
    of_without: int
    low: float
    high: float
    """Interval of the difference: share without it minus share with it."""

    @property
    def effect(self) -> float:
        """By how much removing it changes P(failure); -1: it alone decides."""
        return self.failing_without / max(self.of_without, 1) - self.failing / max(self.of, 1)

    def __str__(self) -> str:
        return (
            f"{self.fault}: {self.failing}/{self.of} fail with it, "
            f"{self.failing_without}/{self.of_without} without it "
            f"({self.effect:+.2f}, {self.low:+.2f} to {self.high:+.2f})"
        )


class Attribution:
    """Which faults of a recording decide that it fails. Made by ``run.attribution(failure)``.

    All intervals together hold the truth with 95 % (Bonferroni).
    """

    def __init__(self, about: str, rows: list[Decided]) -> None:
        self.about = about
        self.rows = sorted(rows, key=lambda row: (row.high, row.effect, row.fault.at))
        """The most decisive first."""

    @property
    def decisive(self) -> list[Decided]:
        """The faults without which it fails less often, as far as the intervals tell."""
        return [row for row in self.rows if row.high < 0]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a fault: fault, vtime, failing, of, failing_without, of_without, effect, low,
        high.
        """
        import pandas as pd

        titles = ["failing", "of", "failing_without", "of_without", "effect", "low", "high"]
        rows = [
            [row.fault.name, row.fault.vtime, *(getattr(row, title) for title in titles)]
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=["fault", "vtime", *titles])

    def __repr__(self) -> str:
        found = ", ".join(str(row.fault) for row in self.decisive) or "none of them"
        return "\n".join([self.about, *map(str, self.rows), f"decisive: {found}"])

    def _repr_html_(self) -> str:
        rows = [
            (str(row.fault), f"{row.failing}/{row.of}", f"{row.failing_without}/{row.of_without}",
             f"{row.effect:+.2f}", f"{row.low:+.2f} to {row.high:+.2f}")
            for row in self.rows
        ]  # fmt: skip
        titles = ("fault", "fail with it", "without it", "difference", "interval")
        return f"<p>{self.about}</p>{tables.html(titles, rows)}"


def attribution(
    run: Recording, failure: Failure, variants: int, horizon: Any, workers: int | str | None
) -> Attribution:
    """See ``Recording.attribution``."""
    question, faults = _asked(run, failure, horizon)
    if variants < 1:
        raise BranchpointError(f"{variants} variants tell nothing", "ask for 20")
    jobs = []
    for index, fault in enumerate(faults):
        for removed in (False, True):
            for variant in range(variants):
                skip = without(run, fault)
                inputs = [_variation(skip.at, variant), *([skip] if removed else [])]
                jobs.append(Job(skip.at, None, inputs, number=2 * index + removed))
    found: list[list[Draw]] = [[] for _ in range(2 * len(faults))]
    title = f"which faults decide {failure.name}"
    with (
        open_pool(run, failure, question.horizon, relative=question.relative, workers=workers) as
        pool, progress.task(title, len(jobs), "futures") as task,
    ):  # fmt: skip
        for outcome in pool.outcomes(jobs):
            found[outcome.number].append(outcome.draw)
            task.update(task.done + 1)
    level = 1 - (1 - LEVEL) / max(len(faults), 1)
    rows = []
    for index, fault in enumerate(faults):
        failing, of = _counted(found[2 * index])
        failing_without, of_without = _counted(found[2 * index + 1])
        low, high = difference(failing_without, of_without, failing, of, level)
        rows.append(
            Decided(fault, failing, of, failing_without, of_without, float(low), float(high))
        )
    words = f"{failure.name}: {variants} variants of the recorded future for each fault"
    return Attribution(words, rows)


def _variation(at: int, variant: int) -> Input:
    """The same numbers drawn, but who gets the processor when is a bit different each time."""
    every, longest = NOISE
    data = wire.noise(every + variant * every // 1000, longest)
    return Input(at=at, kind=COMMAND, data=data, note=f"variant {variant}")


def _counted(draws: Sequence[Draw]) -> tuple[int, int]:
    known = [draw for draw in draws if draw.verdict != "censored"]
    return sum(draw.verdict == "failed" for draw in known), len(known)


def _asked(run: Recording, failure: Failure, horizon: Any) -> tuple[Any, list[Happened]]:
    question = question_of(run, failure, run.origin, horizon, None)
    end = min(question.horizon_of(run.origin), run.manifest.end)
    failed = run.manifest.failure
    faults = faults_of(run, end if failed is None else min(end, failed))
    if not faults:
        raise BranchpointError(
            f"{run.path.name} has no faults before {format_vtime(end - run.origin)} s",
            'faults come from "x-branchpoint: faults:" in the compose file',
        )
    return question, faults


def minimise(
    run: Recording,
    failure: Failure,
    path: Path | str,
    horizon: Any,
    workers: int | str | None,
    kind: type[R],
) -> R:
    """See ``Recording.minimise``."""
    question, faults = _asked(run, failure, horizon)
    if question.relative:
        raise BranchpointError("a horizon that counts from a fork is of no use here")
    with (
        open_pool(run, failure, question.horizon, workers=workers) as pool,
        progress.task(f"fewer faults for {failure.name}", unit="sets of faults") as task,
    ):

        def failing(sets: Sequence[Sequence[Happened]]) -> Iterator[int]:
            """Which of these sets of faults are enough for the failure."""
            jobs = [_only(run, faults, kept, number) for number, kept in enumerate(sets)]
            for outcome in pool.outcomes(jobs):
                task.update(task.done + 1, f"{len(sets[outcome.number])} faults")
                if outcome.draw.verdict == "failed":
                    yield outcome.number

        kept = _smallest(faults, failing)
    if kept is None:
        raise BranchpointError(
            f"{failure.name} does not happen in {run.path.name} by "
            f"{format_vtime(question.horizon - run.origin)} s",
        )
    removed = [without(run, fault) for fault in faults if fault not in kept]
    return rerecord(
        run, path, removed, failure,
        horizon=question.horizon, after=2 * SECOND, kind=kind,
    )  # fmt: skip


def _only(run: Recording, faults: Sequence[Happened], kept: Sequence[Happened], number: int) -> Job:
    skips = [without(run, fault) for fault in faults if fault not in kept]
    at = min((skip.at for skip in skips), default=run.origin)
    return Job(at, None, skips, number=number)


def _smallest(faults: Sequence[Happened], failing: Any) -> Sequence[Happened] | None:
    """The smallest set that fails: by trying all, from the smallest on, while they are few enough;
    else one from which no single fault can be taken away. None: not even all of them fail.
    """
    tried = 0
    for size in range(len(faults) + 1):
        sets = list(combinations(faults, size))
        tried += len(sets)
        if tried > _MOST_SETS:
            break
        if found := sorted(failing(sets)):
            return sets[found[0]]
        if size == len(faults):
            return None
    kept = tuple(faults)
    if not list(failing([kept])):
        return None
    while True:
        fewer = [tuple(f for f in kept if f is not one) for one in kept]
        found = sorted(failing(fewer))
        if not found:
            return kept
        kept = fewer[found[0]]
