"""A curve: how likely a failure was from each instant of a recording, and what that says."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from math import floor, log10
from typing import TYPE_CHECKING, Any

from branchpoint.clock import SECOND, Duration, format_vtime, to_ns
from branchpoint.errors import BranchpointError
from branchpoint.events.event import EventSet
from branchpoint.futures.contrast import Contrast, contrast
from branchpoint.futures.draws import Draw, Question
from branchpoint.futures.statistics import stopping
from branchpoint.futures.statistics.proportion import LEVEL
from branchpoint.futures.statistics.steps import EVIDENCE, Step, Steps
from branchpoint.futures.statistics.stopping import Beginning
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import NOISE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from branchpoint.futures.culprits.culprits import Culprits
    from branchpoint.futures.culprits.decisions import Decisions

PRECISION = 0.1
"""The default half width that intervals should have."""

_ROWS = 20  # points in a printed curve
_MOST_DECIMALS = 3  # of an instant in seconds


@dataclass(frozen=True)
class CurvePoint:
    """The futures from one moment."""

    at: int
    """Absolute ns."""
    failed: int
    trials: int
    """Futures that failed or passed."""
    censored: int
    """Futures that ended before the horizon without the failure; they are not counted."""
    identical: float
    """Share of the futures here that took the same course as another one."""
    beginning: Beginning
    """Those of them that tell P. Later ones were drawn to find out where P changes, and whether
    that was needed depended on these."""

    precision: float = PRECISION
    """The precision that its futures were drawn to."""

    @property
    def p(self) -> float:
        """P(failure), estimated without bias; not a number when no future is counted.

        This is not quite the share that failed: how many futures there are depends on how they
        ended, which is taken into account (:mod:`branchpoint.futures.statistics.stopping`).
        """
        return stopping.estimate(self.beginning.failed, self.beginning.counted, self.precision)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of P(failure), exact for the way in which futures were drawn."""
        return self.interval_of(LEVEL)

    def interval_of(self, level: float) -> tuple[float, float]:
        """The same for another level.

        Censored futures may all have failed, or all have passed: it holds in either case.
        """
        failed, counted, censored = self.beginning
        if not censored:
            return stopping.interval(failed, counted, self.precision, level)
        low, _ = stopping.exact(failed, counted + censored, level)
        _, high = stopping.exact(failed + censored, counted + censored, level)
        return low, high


class TurningPoint:
    """A change of P(failure), as far as it is known. False when there is none."""

    def __init__(self, curve: Curve, step: Step | None, why: str = "") -> None:
        self._curve, self._step, self._why = curve, step, why

    def __bool__(self) -> bool:
        return self._step is not None

    def _found(self) -> Step:
        if self._step is None:
            raise BranchpointError(f"there is {self}", "curve.frame has P(failure) at each point")
        return self._step

    @property
    def vtime(self) -> float:
        """Virtual seconds at which half of the change is done; as likely too early as too late.

        :raises BranchpointError: when there is no change; the other properties raise it, too.
        """
        return (self._found().at - self._curve.origin) / SECOND

    @property
    def interval(self) -> tuple[float, float]:
        """The shortest stretch between points, virtual seconds, that holds the change with 95 %."""
        step, origin = self._found(), self._curve.origin
        return (step.low - origin) / SECOND, (step.high - origin) / SECOND

    @property
    def gradual(self) -> bool:
        """Whether it is gradual, or may consist of several steps that cannot be told apart."""
        return self._found().gradual

    @property
    def moment(self) -> Moment:
        """Its moment, to branch from.

        :raises BranchpointError: when it is gradual, so that it has no single moment.
        """
        step = self._found()
        if step.gradual:
            low, high = self.interval
            raise BranchpointError(
                f"P(failure) changes over a while, {self._span()}, not at one moment",
                f"choose one, as run.at({low:.1f}) or run.at({high:.1f})",
            )
        return self._curve.run.at_ns(step.at)

    @property
    def before(self) -> float:
        """P(failure) before it."""
        return self._found().before

    @property
    def after(self) -> float:
        """P(failure) after it."""
        return self._found().after

    @property
    def events(self) -> EventSet:
        """What happened in its interval."""
        step = self._found()
        return self._curve.between(step.low, step.high)

    def _span(self) -> str:
        low, high = self.interval
        digits = _decimals(high - low)
        return f"{low:.{digits}f} to {high:.{digits}f} s"

    def __repr__(self) -> str:
        if self._step is None:
            return f"no turning point: {self._why}"
        change = f"P(failure) {self.before:.2f} → {self.after:.2f}"
        if self.gradual:
            return f"{change}, not at once: within {self._span()}"
        if self._curve.missing:
            return f"{change}, so far somewhere within {self._span()}"
        low, high = self.interval
        return f"{change} at {self.vtime:.{_decimals(high - low)}f} s (95 %: {self._span()})"


def _decimals(width: float) -> int:
    """Decimals of an instant whose interval has that width: two digits of the width."""
    return min(max(1 - floor(log10(max(width, 1e-9))), 0), _MOST_DECIMALS)


class Curve:
    """P(failure) against virtual time, from futures that begin at moments of a recording.

    Made by ``run.likelihood(failure)``. Shows itself as a picture in a notebook and as a table
    in a terminal.
    """

    def __init__(
        self,
        run: Recording,
        question: Question,
        span: tuple[int, int],
        draws: list[Draw],
        missing: int = 0,
        precision: float = PRECISION,
        *,
        failure: Failure | None = None,
        stopped: bool = False,
    ) -> None:
        """``span``: first and last instant, absolute ns; ``missing``: futures still to be drawn;
        ``precision``: the half width that they are drawn to.
        """
        self.run = run
        self.failure = failure
        """What was looked for; None when the curve was only kept with the recording."""
        self.question = question
        self.span = span
        self.missing = missing
        """About how many futures are still to be drawn until every point has the wanted precision;
        0: the curve is complete."""
        self.precision = precision
        self.stopped = stopped
        """Whether its drawing was interrupted. Calling ``likelihood`` again goes on from here."""
        self.draws = sorted(draws, key=lambda draw: (draw.at, draw.seed))

    @property
    def origin(self) -> int:
        """Absolute ns of vtime 0."""
        return self.run.origin

    @cached_property
    def points(self) -> list[CurvePoint]:
        """The moments from which futures were drawn, in the order of time."""
        at: dict[int, list[Draw]] = {}
        for draw in self.draws:
            at.setdefault(draw.at, []).append(draw)
        return [_point(instant, draws, self.precision) for instant, draws in at.items()]

    @cached_property
    def _changes(self) -> Steps:
        counted = [point for point in self.points if point.trials]
        return Steps(
            [point.at for point in counted],
            [point.failed for point in counted],
            [point.trials for point in counted],
        )

    @cached_property
    def _largest(self) -> Step | None:
        """The largest change that happened at one moment."""
        sudden = [step for step in self._changes.steps if not step.gradual]
        return max(sudden, key=lambda step: abs(step.size), default=None)

    @property
    def turning_point(self) -> TurningPoint:
        """The largest sudden change of P(failure). It is false when none is known."""
        return TurningPoint(self, self._largest, self._no_turning())

    @property
    def steps(self) -> list[TurningPoint]:
        """All changes of P(failure) that are known, in the order of time; none: it may be flat.

        What may be one gradual change or several changes is one here, and ``gradual``.
        """
        return [TurningPoint(self, step) for step in self._changes.steps]

    @property
    def evidence(self) -> float:
        """How many times more probable the futures are if P(failure) changes than if it is constant
        (a Bayes factor); changes are reported from 20 on.
        """
        return self._changes.evidence

    @property
    def frame(self) -> pd.DataFrame:
        """One row per point: vtime (s), n, failed, p, low, high, censored, identical, all_low,
        all_high, futures.

        ``failed`` of ``n`` futures tell ``p``, which is estimated without bias; ``low`` and
        ``high`` are the exact 95 % interval at that point. ``futures`` counts all futures from
        there: where it is unclear whether P(failure) changes, there are more of them than ``p``
        needs (:attr:`CurvePoint.beginning`). Of all, ``censored`` are not known to have failed or
        passed, and ``identical`` is the share that took the same course as another. ``all_low`` and
        ``all_high`` are a wider band: it holds P(failure) at all points together with 95 %.
        """
        import pandas as pd

        rows = [
            ((p.at - self.origin) / SECOND, p.beginning.counted, p.beginning.failed, p.p,
             *p.interval, p.censored, p.identical, *all_, p.trials + p.censored)
            for p, all_ in zip(self.points, self.band, strict=True)
        ]  # fmt: skip
        titles = ["vtime", "n", "failed", "p", "low", "high", "censored", "identical",
                  "all_low", "all_high", "futures"]  # fmt: skip
        return pd.DataFrame(rows, columns=titles)

    @cached_property
    def band(self) -> list[tuple[float, float]]:
        """For each point (low, high): with 95 %, all these intervals hold P(failure) at once.

        For that, each of them alone has a level of more than 95 % (Bonferroni).
        """
        level = 1 - (1 - LEVEL) / max(len(self.points), 1)
        return [point.interval_of(level) for point in self.points]

    @property
    def branches(self) -> pd.DataFrame:
        """One row per future: id, vtime (s) and seed of its fork, verdict, after (s), causes.

        ``after`` is how long after the fork it failed. ``run.at(id)`` is the end of that future;
        where futures were drawn with another scheduling noise than usual, they have no id, and
        :meth:`branch` makes them again.
        """
        import pandas as pd

        rows = [
            (self.id_of(draw), (draw.at - self.origin) / SECOND, draw.seed, draw.verdict,
             (draw.failed_at - draw.at) / SECOND if draw.failed_at is not None else float("nan"),
             list(draw.causes))
            for draw in self.draws
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["id", "vtime", "seed", "verdict", "after", "causes"])

    def branch(self, number: int) -> Branch:
        """The future in row ``number`` of :attr:`branches`, run again to where it ended."""
        draw = self.draws[number]
        noise = self.question.noise
        given = None if noise is None else (f"{noise[0]}ns", f"{noise[1]}ns")
        branch = self.run.at_ns(draw.at).branch(draw.seed, noise=given)
        branch.wait(f"{draw.end - draw.at}ns")
        return branch

    def around(self, seconds: Duration = 1) -> EventSet:
        """The recording's events from ``seconds`` before the turning point's interval to
        ``seconds`` after it; those of the whole span when there is no turning point.
        """
        step, margin = self._largest, to_ns(seconds)
        if step is None:
            return self.between(*self.span)
        return self.between(step.low - margin, step.high + margin)

    def contrast(self, at: Any = None) -> Contrast:
        """What the failing futures from one moment have that the passing ones do not have.

        ``at`` is anything that ``run.at`` takes; its nearest point is looked at. Without it: the
        last point before the turning point at which some futures failed and some passed, or that
        with the most of both. Where a point has too few futures, ``run.contrast`` draws more.

        :raises BranchpointError: when there are no futures yet, or they were kept by an earlier
            version, which did not note when things happened in them.
        """
        point = self.point(at)
        draws = [draw for draw in self.draws if draw.at == point.at]
        return contrast(draws, f"futures from {format_vtime(point.at - self.origin)} s")

    def culprits(
        self, at: Any = None, only: str = "*", workers: int | str | None = None
    ) -> Culprits:
        """Which code the failing futures from one moment run that the passing ones do not run.

        Without ``at``, which is as for :meth:`contrast`, it is the point from which about as many
        seem to fail as to pass; more futures are drawn where it has too few. Then they are run once
        more, which takes as long as drawing them. After a kill, all start-up code of a Python
        program looks guilty; then conditions that run shortly before the failure are tried, too, as
        :meth:`decisions` does; those that prevent it come first (:attr:`Culprits.decided`).
        ``only`` is as for ``run.contrast(..., by="code")``, ``workers`` as for the curve.

        :raises BranchpointError: when there are no futures yet, or the curve was only kept.
        """
        from branchpoint.futures.culprits.sampling import culprits_of

        return culprits_of(self, at, only, workers)

    def decisions(
        self, at: Any = None, only: str = "*", workers: int | str | None = None
    ) -> Decisions:
        """Which conditions of Python programs decide that it fails; see ``run.decisions``.

        Without ``at``, it is the first point from which it fails about as often as from any.

        :raises BranchpointError: when there are no futures yet, or the curve was only kept.
        """
        from branchpoint.futures.culprits.turning import decisions_of

        return decisions_of(self, at, only, workers)

    def point(self, at: Any = None) -> CurvePoint:
        """The point that is nearest to a moment; None: the one that tells most."""
        if not self.points:
            raise BranchpointError("this curve has no futures yet")
        if at is None:
            return self._mixed()
        instant = self.run.at(at).at
        return min(self.points, key=lambda p: abs(p.at - instant))

    def _mixed(self) -> CurvePoint:
        step = self._largest
        for point in reversed(self.points):
            if step and point.at <= step.low and 0 < point.failed < point.trials:
                return point
        return max(self.points, key=lambda p: min(p.failed, p.trials - p.failed))

    @property
    def identical(self) -> float:
        """Share of all futures that took the same course as another from the same moment."""
        alike = sum(p.identical * (p.trials + p.censored) for p in self.points)
        return alike / max(len(self.draws), 1)

    def between(self, start: int, end: int) -> EventSet:
        """The recording's events from ``start`` to ``end``, absolute ns, both included."""
        run = self.run
        first, last = max(start, run.earliest), min(end, run.manifest.end)
        return run.events.where(start=run.at_ns(first), end=run.at_ns(last))

    def plot(self, ax: Any = None) -> Figure:
        """P(failure) against virtual time, with the recording's faults and exits, in matplotlib.

        Drawn into ``ax`` (an Axes) or a picture of its own. The picture is a matplotlib Figure:
        ``curve.plot().savefig("curve.pdf")``.
        """
        from branchpoint.futures import plot

        return plot.draw(self, ax)

    # -- showing itself

    @property
    def summary(self) -> list[str]:
        """What it shows, in a few lines."""
        censored = sum(point.censored for point in self.points)
        lines = [
            f"P({self.question.failure}) from {_count(len(self.draws), 'future')} at "
            f"{_count(len(self.points), 'point')}"
        ]
        if self.missing:
            lines[0] += "; stopped," if self.stopped else ";"
            lines[0] += f" about {_count(self.missing, 'future')} to come"
        lines += map(str, self.steps) if self.steps else [self._no_change()]
        if censored:
            what = f"{_count(censored, 'future')} ended early and may have failed or not"
            lines.append(f"{what}: intervals hold either way")
        return lines

    def _no_turning(self) -> str:
        return next((str(step) for step in self.steps if step.gradual), self._no_change())

    def _no_change(self) -> str:
        """Words for a curve that shows no change."""
        counts = [(p.failed, p.trials, p.censored) for p in self.points] or [(0, 0, 0)]
        failed, trials, lost = map(sum, zip(*counts, strict=True))
        if not trials:
            return "nothing is known yet"
        if self.missing:
            return "no change of P(failure) is seen so far"
        if self.evidence > 1:
            return (
                "these futures leave it open whether P(failure) changes "
                f"(evidence {self.evidence:.1f} of {EVIDENCE:.0f})"
            )
        low = stopping.exact(failed, trials + lost)[0]  # the lost ones may all have passed
        high = stopping.exact(failed + lost, trials + lost)[1]  # ... or failed
        return f"no change of P(failure) is seen: {low:.2g} to {high:.2g} all along"

    def __repr__(self) -> str:
        step = max(-(-len(self.points) // _ROWS), 1)
        rows = [
            f"{(p.at - self.origin) / SECOND:>10.3f}  "
            f"{p.beginning.failed:>5}/{p.beginning.counted:<5}  "
            f"{p.p:>4.2f}  {p.interval[0]:.2f} to {p.interval[1]:.2f}"
            for p in self.points[::step]
        ]
        head = f"{'vtime (s)':>10}  {'failed':>5}/{'n':<5} {'P':>4}  95 % interval"
        return "\n".join([*self.summary, *([head, *rows] if rows else [])])

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """A picture, and words where pictures cannot be shown. No HTML, which would hide it."""
        from branchpoint.futures import plot

        picture, size = plot.png(self)
        data = {"image/png": b64encode(picture).decode(), "text/plain": repr(self)}
        return data, {"image/png": {**size, "alt": plot.words(self)}, **plot.ON_PAPER}

    def _repr_png_(self) -> bytes:
        from branchpoint.futures import plot

        return plot.png(self)[0]

    def id_of(self, draw: Draw) -> str:
        """The id of the end of a future, or "" where only :meth:`branch` can make it again."""
        if self.question.noise != NOISE:
            return ""
        fork, end = (format_vtime(ns - self.origin) for ns in (draw.at, draw.end))
        return f"{fork}~{draw.seed}@{end}"


def _point(at: int, draws: list[Draw], precision: float) -> CurvePoint:
    verdicts = Counter(draw.verdict for draw in draws)
    courses = Counter(draw.course for draw in draws if draw.course)
    return CurvePoint(
        at=at,
        failed=verdicts["failed"],
        trials=verdicts["failed"] + verdicts["passed"],
        censored=verdicts["censored"],
        identical=sum(count for count in courses.values() if count > 1) / len(draws),
        beginning=stopping.beginning(
            (None if draw.verdict == "censored" else draw.verdict == "failed" for draw in draws),
            precision,
        ),
        precision=precision,
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
