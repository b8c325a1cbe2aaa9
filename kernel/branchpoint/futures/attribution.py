"""Which fault decides that a timeline fails: each is removed, everything else stays the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from branchpoint.clock import SECOND, Instant, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.futures import partial
from branchpoint.futures.draws import Draw
from branchpoint.futures.interventions import Happened, Timeline
from branchpoint.futures.likelihood import question_of
from branchpoint.futures.running.future import FutureSpec, Outcome
from branchpoint.futures.running.trials import Interrupted, Trials
from branchpoint.futures.statistics.exact import LIMIT, Chances, percent, perfect, together
from branchpoint.futures.statistics.proportion import difference, wilson
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import Noise

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20  # faults that are shown
_WIDTH = 200  # characters of a failure that are shown
_SAID = {
    "passed": "does not happen",
    "failed": "happens",
    "censored": "may happen: it ended early",
}
"""What is said of the failure in a future, by its verdict."""
_UNSTABLE = {
    "passed": "the least disturbance already prevents the failure, so one future without a fault "
    "shows nothing",
    "censored": "whether the least disturbance already prevents the failure is not known: that "
    "future ended early, so one future without a fault shows nothing",
}
_BARE = {
    "failed": "without all of them, too",
    "passed": "without all of them it does not: run.minimise finds a set that is enough",
    "censored": "what happens without all of them is not known: that future ended early",
}
"""What is said of the control and of the timeline without any fault, by their verdicts."""


@dataclass(frozen=True)
class Rate:
    """How many futures failed."""

    failed: int
    trials: int
    """Futures that failed or passed."""

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the share."""
        low, high = wilson(self.failed, self.trials)
        return float(low), float(high)

    def chance(self, other: Rate) -> float:
        """How probable it is that chance makes the two look as different (Fisher's exact test,
        two-sided).
        """
        failed, total = self.failed + other.failed, self.trials + other.trials
        tested = Chances([self.failed], [self.trials - self.failed], failed, total - failed)
        return float(tested.alone[0])

    def __str__(self) -> str:
        return f"{self.failed}/{self.trials}"


@dataclass(frozen=True)
class Rates:
    """How often it fails from just after a fault, with everything random drawn anew."""

    present: Rate
    """With the fault."""
    absent: Rate
    """Without it."""
    chance: float
    """At most how probable it is that chance makes any of the faults look as extreme as this one
    (Fisher's exact test, two-sided, with Holm's correction). Futures with and without the fault
    have the same seeds; if that makes them more alike, the true probability is smaller."""

    @property
    def interval(self) -> tuple[float, float]:
        """Newcombe's 95 % interval of :attr:`effect`, valid if you look at this fault alone."""
        low, high = difference(
            self.absent.failed, self.absent.trials, self.present.failed, self.present.trials
        )
        return float(low), float(high)

    @property
    def found(self) -> bool:
        """Whether chance alone does this in fewer than 5 % of all cases."""
        return self.chance < LIMIT

    @property
    def effect(self) -> float:
        """By how much removing the fault changes P(failure); -1: it alone decides."""
        return self.absent.failed / max(self.absent.trials, 1) - (
            self.present.failed / max(self.present.trials, 1)
        )

    def __str__(self) -> str:
        return (
            f"{self.present} fail with it, {self.absent} without it; "
            f"by chance: {percent(self.chance)}"
        )


@dataclass(frozen=True, repr=False)
class Removal:
    """What became of the timeline without one fault."""

    fault: Happened
    draw: Draw
    """The future without it."""
    job: FutureSpec
    id: str
    """Id of the moment at which that future ended, for ``run.at``; "" when it has no id."""
    rates: Rates | None = None

    @property
    def prevents(self) -> bool:
        """Whether the failure does not happen without this fault. False also where that is not
        known, because the future ended early.
        """
        return self.draw.verdict == "passed"

    def __str__(self) -> str:
        return f"without {self.fault} the failure {_SAID[self.draw.verdict]}"

    def __repr__(self) -> str:
        return f"<{self}; {self.rates}>" if self.rates else f"<{self}>"


class Attribution:
    """Which faults of a timeline decide that it fails. Made by ``run.attribute(failure)``."""

    def __init__(
        self,
        timeline: Timeline,
        failure: str,
        control: Draw,
        rows: list[Removal],
        bare: Draw | None = None,
        unknown: int = 0,
    ) -> None:
        self.failure = failure
        """What the failure is."""
        self.rows = rows
        """One per fault, in the order of time."""
        self.control = control
        """The timeline with all its faults and one input that changes nothing. If the failure does
        not happen here, the other rows say nothing about faults."""
        self.bare = bare
        """The timeline without any of them; None where there is only one, or it is not known."""
        self.unknown = unknown
        """How many faults are not in :attr:`rows` because of an interrupt. Calling it again goes
        on."""
        self._timeline = timeline

    @property
    def stable(self) -> bool:
        """Whether the failure happens in :attr:`control`, so that the verdicts mean something.
        False also where that is not known, because this future ended early.
        """
        return self.control.verdict == "failed"

    @property
    def decisive(self) -> list[Removal]:
        """The faults that decide: those without which the failure does not happen. With rates:
        those without which it happens less often, by more than chance explains in 5 % of cases.
        """
        return [
            row
            for row in self.rows
            if (
                row.rates.found and row.rates.effect < 0
                if row.rates
                else self.stable and row.prevents
            )
        ]

    def branch(self, number: int) -> Branch:
        """The timeline without the fault of row ``number``, to where it was judged."""
        row = self.rows[number]
        return self._timeline.branch(row.job, row.draw.end)

    @property
    def conclusion(self) -> list[str]:
        """What it shows, in a few lines."""
        if not self.stable:
            words = [_UNSTABLE[self.control.verdict]]
            if self.rows[0].rates is None:
                return [*words, "ask for rates: seeds=20"]
        else:
            words = self._of_single()
            if self.unknown:
                words.append(f"stopped early: {self.unknown} more faults are not looked at")
            if self.bare is not None and not any(row.prevents for row in self.rows):
                words.append(_BARE[self.bare.verdict])
        return words + self._of_rates()

    def _of_single(self) -> list[str]:
        """What the futures without one fault each show; one that ended early shows nothing."""
        whole = len(self.rows) + self.unknown
        words = [str(row) for row in self.rows if row.prevents]
        verdicts = [row.draw.verdict for row in self.rows]
        failed, lost = verdicts.count("failed"), verdicts.count("censored")
        if not words and failed:
            some = f"{failed} of its {whole}" if failed < whole else f"its {whole}"
            ones = "its one fault" if whole == 1 else f"any single one of {some} faults"
            words = [f"without {ones} the failure happens all the same"]
        if lost:
            ended = "the future without it" if lost == 1 else "the futures without them"
            which = "its one fault" if whole == 1 else f"{lost} of its {whole} faults"
            words.append(f"of {which} it is not known: {ended} ended early")
        return words

    def _of_rates(self) -> list[str]:
        known = [row.rates for row in self.rows if row.rates]
        if not known:
            return []
        found = [f"{row.fault}: {row.rates}" for row in self.decisive]
        if found:
            return found
        count, futures = len(self.rows), min(min(r.present.trials, r.absent.trials) for r in known)
        words = ["removing a fault never makes it fail less often than chance explains"]
        if _alone_decides(futures, count):
            return words
        while not _alone_decides(futures, count):
            futures += 1
        return [*words, f"too few futures to tell: ask for seeds={futures} or more"]

    @property
    def frame(self) -> pd.DataFrame:
        """One row per fault: id, fault, target, params, vtime (s), without, failed_at (s), branch.

        ``without`` is the verdict of the future without it (failed, passed, censored),
        ``failed_at`` when it failed, and ``run.at(branch)`` its end. With seeds there are also
        ``present``, ``present_n``, ``present_low``, ``present_high`` (futures that failed with the
        fault, of how many, Wilson's 95 % interval), the same for ``absent``, ``effect``, ``low``,
        ``high`` (the difference and its 95 % interval), and ``chance``: at most how probable it is
        that chance makes any of the faults look as extreme.
        """
        import pandas as pd

        titles = ["id", "fault", "target", "params", "vtime", "without", "failed_at", "branch"]
        more = [
            f"{arm}{end}" for arm in ("present", "absent") for end in ("", "_n", "_low", "_high")
        ]
        rows: list[list[Any]] = []
        for row in self.rows:
            fault, failed_at = row.fault, row.draw.failed_at
            after = float("nan") if failed_at is None else self._seconds(failed_at)
            cells: list[Any] = [
                fault.id, fault.kind, fault.target, fault.params, fault.vtime,
                row.draw.verdict, after, row.id,
            ]  # fmt: skip
            if row.rates is not None:
                for arm in (row.rates.present, row.rates.absent):
                    cells += [arm.failed, arm.trials, *arm.interval]
                cells += [row.rates.effect, *row.rates.interval, row.rates.chance]
            rows.append(cells)
        if any(row.rates for row in self.rows):
            titles += [*more, "effect", "low", "high", "chance"]
        return pd.DataFrame(rows, columns=titles)

    def _seconds(self, at: int) -> float:
        return (at - self._timeline.run.origin) / SECOND

    def _verdict(self, draw: Draw) -> str:
        at = "" if draw.failed_at is None else f" at {self._seconds(draw.failed_at):.3f} s"
        return _SAID[draw.verdict] + at

    def _table(self) -> tuple[list[str], list[list[str]]]:
        titles = ["without", "the failure"]
        rows = [[str(row.fault), self._verdict(row.draw)] for row in self.rows[:_ROWS]]
        if len(self.rows) > _ROWS:
            rows.append([f"... and {len(self.rows) - _ROWS} more faults", ""])
        if self.bare is not None:
            rows.append(["all of them", self._verdict(self.bare)])
        rows.append(["none of them", self._verdict(self.control)])
        if any(row.rates for row in self.rows):
            titles += ["fail with it", "without it", "difference", "by chance"]
            for cells, row in zip(rows, self.rows[:_ROWS], strict=False):
                if rates := row.rates:
                    cells += [
                        str(rates.present), str(rates.absent), f"{rates.effect:+.2f}",
                        percent(rates.chance),
                    ]  # fmt: skip
            rows = [cells + [""] * (len(titles) - len(cells)) for cells in rows]
        return titles, rows

    def __repr__(self) -> str:
        titles, rows = self._table()
        widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
        lines = [
            "  ".join(
                f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)
            ).rstrip()
            for cells in (titles, *rows)
        ]
        return "\n".join([inert(self.failure, _WIDTH), *lines, *self.conclusion])

    def _repr_html_(self) -> str:
        found = "".join(f"<p>{escape(line)}</p>" for line in self.conclusion)
        return f"<p>{escape(inert(self.failure, _WIDTH))}</p>{tables.html(*self._table())}{found}"


def attribute(
    run: Recording,
    failure: Failure,
    *,
    of: Any,
    seeds: int,
    horizon: Instant | None,
    workers: int | str | None,
    noise: Noise,
) -> Attribution:
    """See ``Recording.attribute``."""
    if seeds < 0:
        raise BranchpointError(f"seeds={seeds} must be 0 or more")
    case = Case(run, failure, of, horizon, noise)
    timeline, faults = case.timeline, case.faults
    first = min(timeline.begin(fault) for fault in faults)
    control = timeline.job(case.control(first), first)
    removals = [timeline.job(case.without([f]), timeline.begin(f)) for f in faults]
    bare = [timeline.job(case.without(faults), first)] if len(faults) > 1 else []
    noisy = case.question.noise
    seeded = [
        timeline.job(timeline.seeded(f, seed, noisy, removed=removed), timeline.begin(f))
        for f in faults
        for removed in (False, True)
        for seed in range(seeds)
    ]
    title = f"which faults decide {failure.name}"
    jobs = [control, *removals, *bare, *seeded]
    found: list[Outcome | None]
    with Trials(run, failure, case.question, workers, title) as trials:
        try:
            found = [*trials.run(jobs)]
        except Interrupted as stop:
            found = stop.found
            usable = found[0] is not None and any(found[1 : 1 + len(removals)])
            partial.give(stop, len(found) - found.count(None) if usable else 0, len(found))
    assert found[0] is not None
    case.check(found[0].draw)
    for fault, outcome in zip(faults, found[1:], strict=False):
        if outcome is not None:
            check_skipped(fault, outcome)
    arms = [None if each is None else each.draw for each in found[1 + len(removals) + len(bare) :]]
    rates = _rates([arms[i : i + seeds] for i in range(0, len(arms), max(seeds, 1))])
    looked_at = zip(faults, removals, found[1:], rates or [None] * len(faults), strict=False)
    rows = [
        Removal(fault, each.draw, job, timeline.id(job, each.draw.end), rate)
        for fault, job, each, rate in looked_at
        if each is not None
    ]
    without = found[1 + len(removals)] if bare else None
    return Attribution(
        timeline, failure.name, found[0].draw, rows, without.draw if without else None,
        len(faults) - len(rows),
    )  # fmt: skip


class Case:
    """A failure of a timeline, and the faults that came before it."""

    def __init__(
        self,
        run: Recording,
        failure: Failure,
        of: Any,
        horizon: Instant | None,
        noise: Noise = None,
    ) -> None:
        """:raises BranchpointError: when there are no faults."""
        self.timeline = Timeline(run, of)
        self.failure = failure
        until = self.timeline.moment
        self.question, self.happened = question_of(until, failure, run.origin, horizon, noise)
        if self.question.relative:
            since = until.at if self.happened is None else self.happened
            self.question = msgspec.structs.replace(
                self.question, horizon=since + self.question.horizon, relative=False
            )
        end = self.question.horizon if self.happened is None else self.happened
        self.faults = [fault for fault in self.timeline.faults if fault.at < end]
        """The faults before the failure."""
        # Not one of its very instant: the failure may be that fault.
        self._later = [fault for fault in self.timeline.faults if fault.at > end]
        if not self.faults:
            raise BranchpointError(
                f"{run.path.name} has no faults before {format_vtime(end - run.origin)} s",
                "without faults, look at what chance decides: run.likelihood, run.contrast",
            )

    def without(self, removed: Sequence[Happened]) -> list[Input]:
        """All inputs, changed so that these faults do not happen, nor any after the failure.

        The future is judged up to a horizon that is later than the failure was. A fault that came
        after it had no part in it, but could bring it about in the future; then that would be told
        as what happens without the others. Those after the end of the timeline are not known.
        """
        return self.timeline.without([*removed, *self._later])

    def control(self, at: int) -> list[Input]:
        """As :meth:`without` no fault, with the least disturbance at ``at`` (absolute ns)."""
        return self.timeline.disturbed(at, self.without([]))

    def check(self, control: Draw) -> None:
        """:raises BranchpointError: when the timeline does not fail at all."""
        if self.happened is None and control.verdict != "failed":
            run = self.timeline.run
            raise BranchpointError(
                f"{self.failure.name} does not happen in {run.path.name} by "
                f"{format_vtime(self.question.horizon - run.origin)} s",
                "give the failure that it ended with, or a horizon=",
            )


def _rates(arms: Sequence[Sequence[Draw | None]]) -> list[Rates | None]:
    """The rates of each fault, from ``arms``: its draws with it, then those without it, fault after
    fault. None where not all draws are known; such a fault counts with chance 1, the most possible.
    """
    rates = [None if None in arm else _rate([draw for draw in arm if draw]) for arm in arms]
    pairs = list(zip(rates[::2], rates[1::2], strict=True))
    chances = together([one.chance(other) if one and other else 1.0 for one, other in pairs])
    return [
        Rates(one, other, chance) if one and other else None
        for (one, other), chance in zip(pairs, chances, strict=True)
    ]


def _alone_decides(futures: int, faults: int) -> bool:
    """Whether this many futures with and without a fault are enough to show that it decides."""
    return perfect(futures, 2 * futures) * faults < LIMIT


def _rate(draws: list[Draw]) -> Rate:
    known = [draw.verdict for draw in draws if draw.verdict != "censored"]
    return Rate(known.count("failed"), len(known))


def check_skipped(fault: Happened, outcome: Outcome) -> None:
    """:raises BranchpointError: when the guest was told too late to skip a fault."""
    missed = [
        cause for cause in outcome.draw.causes if cause.startswith(f"error fault/{fault.id} ")
    ]
    if any("cannot be skipped" in cause for cause in missed):
        raise BranchpointError(
            f"the guest was told too late to skip {fault}",
            "this is a bug of ours: please report it",
        )
