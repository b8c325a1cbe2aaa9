"""Futures in which one decision of a Python program goes the other way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from branchpoint.clock import SECOND, Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.decisions import FEWEST, Decided, Decisions, by_change
from branchpoint.futures.culprits.source import Source, Spot, matches
from branchpoint.futures.curve import Curve, CurvePoint
from branchpoint.futures.likelihood import question_of
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.running.signatures import LINE
from branchpoint.futures.running.trials import Interrupted
from branchpoint.futures.sample import Sample
from branchpoint.futures.statistics.exact import LIMIT
from branchpoint.programs.python import Decision, Line
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording

_FIRST = 8
"""Futures as they are that are drawn at first; enough if all fail and 300 decisions are tried."""
_MOST = 40
_FOLLOWED = 8
"""Decisions that are turned in more than one future: of those that change little else, the first
ones that run."""
_FOLLOWED_NEAR = 3
"""The same where it was not asked for, which shows no more."""
_LIKELY = 0.9
"""Of the largest share that fails: from such a moment, a prevention is seen with few futures."""
_ROOM = 4
"""A future with a turned decision may run so many times the byte code of a failing one, in the same
time."""
NEAREST = 33 * SECOND
"""How long, in ns of the machine, futures may run in which decisions are turned without being asked
for: each first in one, up to the failure. This takes less than half a minute on two cores."""
_EACH = SECOND * 3 // 10
"""For each future, so much is added: it costs as much beside what it runs, when it ends."""
_BACK = (4 * SECOND, 2 * SECOND, SECOND, SECOND // 2, SECOND // 4, SECOND // 10)
"""How long before the failure, ns."""
_FAULT = "fault"
"""Signs that begin with it are not the system's."""


@dataclass
class _Base:
    """Futures as they are."""

    outcomes: list[Outcome] = field(default_factory=list)
    told: list[Outcome] = field(default_factory=list)
    """Some failing ones again, with the code that runs before the failure."""
    lines: list[set[Line]] = field(default_factory=list)
    """The lines of the system's own code that run in each of these."""

    @property
    def failed(self) -> list[int]:
        """Which failed."""
        return [i for i, each in enumerate(self.outcomes) if each.draw.verdict == "failed"]

    @property
    def rate(self) -> Rate:
        """How many failed."""
        return Rate(len(self.failed), len(_counted(self.outcomes)))

    @property
    def most(self) -> tuple[int, int]:
        """How many instructions of byte code a turned future may run, in how many ns."""
        longest = max(self.told, key=lambda each: each.draw.end)
        return _ROOM * longest.code[-1].executed, longest.draw.end - longest.draw.at


@dataclass
class _Tried:
    """A decision, and the futures in which it goes the other way."""

    decision: Decision
    spot: Spot
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def prevents(self) -> bool:
        """Whether none of them failed or ended early."""
        return all(outcome.draw.verdict == "passed" for outcome in self.outcomes)


def decisions_off(
    run: Recording, moment: Instant, failure: Failure, *, only: str, **how: Any
) -> Decisions:
    """See ``Recording.decisions``; ``how`` is as for :class:`Sample`.

    A decision that prevents the failure runs in each future that fails. So what is tried is what
    runs in all of a few failing futures. Each is turned in one future that fails without. Of those
    that prevent it there, the ones that change little else are turned in as many futures as there
    are without the change, with the same seeds: so many that chance can be told from it.
    """
    source = Source(run.replayer.snapshot.spec.modules[-1])
    base, tried = _Base(), list[_Tried]()
    with Sample(run, moment, failure, **how) as sample:
        about = _about(failure, sample)
        try:
            _try(sample, source, base, tried, only)
        except Interrupted as stop:
            partial.give(stop, sum(len(each.outcomes) for each in tried))
            about = f"{about}, stopped early"
    return _judged(about, source, base, tried)


def decisions_near(sample: Sample, curve: Curve, only: str) -> Decisions | None:
    """Which conditions decide, of those that run shortly before the failure of the recording: as
    far back as :data:`NEAREST` allows. None when the recording has no such failure, it does not
    fail nearly always from there, or too many of them run all the time.

    ``sample`` gives the workers.

    :raises Interrupted: as :meth:`Sample.run`.
    """
    run, failure, last = curve.run, curve.failure, curve.points[-1]
    if failure is None or not last.trials or last.failed < _LIKELY * last.trials:
        return None
    _, happened = question_of(run.end, failure, run.start.at, None, noise=True)
    likely = _likely(curve.points).at
    if happened is None or happened <= likely:
        return None
    source = Source(run.replayer.snapshot.spec.modules[-1])
    back = _back(sample.moved(run.at_ns(likely)), source, only)
    if back is None:
        return None
    base, tried = _Base(), list[_Tried]()
    late = sample.moved(run.at_ns(max(happened - back, likely)))
    _try(late, source, base, tried, only, _FOLLOWED_NEAR)
    return _judged(_about(failure, late), source, base, tried)


def _back(sample: Sample, source: Source, only: str) -> int | None:
    """How long before the failure (ns) not more decisions run than :data:`NEAREST` allows, as one
    failing future tells; None: there are more in each of :data:`_BACK`, or none failed.
    """
    draws = [outcome.draw for outcome in sample.verdicts(range(FEWEST))]
    number, end = next(
        ((i, draw.failed_at) for i, draw in enumerate(draws) if draw.failed_at is not None),
        (0, None),
    )
    if end is None:
        return None
    begins = sorted({max(end - back, sample.moment.at) for back in _BACK})
    instants = [*(begin for begin in begins if begin > sample.moment.at), end]
    (told,) = sample.code({number: instants})
    for begin in begins:
        ran = [code for to, code in zip(instants, told.code, strict=False) if to > begin]
        tried = _candidates(source, _Base(told=[Outcome(told.draw, code=ran)]), only)
        if len(tried) * (end - begin + _EACH) <= NEAREST:
            return end - begin if tried else None
    return None


def _try(
    sample: Sample,
    source: Source,
    base: _Base,
    tried: list[_Tried],
    only: str,
    followed: int = _FOLLOWED,
) -> None:
    """Run futures as they are, find what may be turned, and turn it; this adds to ``base`` and
    ``tried``, where what is known stays when it is interrupted.
    """
    base.outcomes += sample.run(range(_FIRST), "as they are")
    if len(base.failed) < FEWEST:
        return
    ends = {i: [base.outcomes[i].draw.failed_at or 0] for i in base.failed[:FEWEST]}
    base.told += [each for each in sample.code(ends) if each.code]  # none if the machine stopped
    base.lines += _own(source, base.told)
    tried += _candidates(source, base, only) if base.told else []
    more = range(_FIRST, _needed(base.rate, len(tried)))
    base.outcomes += sample.run(more, "as they are")
    if tried:
        _race(sample, source, base, tried, followed)


def _about(failure: Failure, sample: Sample) -> str:
    return f"{failure.name}: futures from {sample.moment}"


def decisions_of(curve: Curve, at: Any, only: str, workers: int | str | None = None) -> Decisions:
    """See ``Curve.decisions``."""
    if curve.failure is None:
        raise BranchpointError(
            "this curve was kept with the recording, without what its failure is",
            "run.decisions(moment, failure)",
        )
    point = curve.point(at) if at is not None or not curve.points else _likely(curve.points)
    moment = curve.run.at_ns(point.at)
    return decisions_off(
        curve.run, moment, curve.failure, only=only, question=curve.question, workers=workers
    )


def _likely(points: Sequence[CurvePoint]) -> CurvePoint:
    """The first point from which it fails about as often as from any: of what runs from there on,
    most comes before the failure, and what makes it likely is over.
    """
    most = max(point.failed / max(point.trials, 1) for point in points)
    return next(p for p in points if p.failed >= _LIKELY * most * max(p.trials, 1))


def _candidates(source: Source, base: _Base, only: str) -> list[_Tried]:
    """The decisions of the system's own code that run in each failing future that is told, in the
    order in which they run first.
    """
    told = [
        dict.fromkeys(d for part in outcome.code for d in part.decisions) for outcome in base.told
    ]
    found = [each for each in told[0] if all(each in others for others in told)]
    lines = {each: Line(each.file, each.function, each.line) for each in found}
    spots = source.of_lines(lines.values())
    return [
        _Tried(each, spot)
        for each in found
        if not (spot := spots[lines[each]]).library and matches(spot, only)
    ]


def _needed(before: Rate, tried: int) -> int:
    """How many futures each of both kinds has to have, so that it is found if it prevents all."""
    for count in range(_FIRST, _MOST):
        fails = before.failed * count // before.trials
        if Rate(fails, count).chance(Rate(0, count)) * tried < LIMIT:
            return count
    return _MOST


def _race(
    sample: Sample, source: Source, base: _Base, tried: Sequence[_Tried], followed: int
) -> None:
    """Turn each in one future that fails without; then the best of those that prevent it in all."""
    first = base.failed[0]
    _turn(sample, base, tried, [first], f"{len(tried)} decisions turned, one at a time")
    left = [each for each in tried if each.prevents]
    left = by_change(left, lambda each: _changes(source, base, each))
    others = [i for i in range(len(base.outcomes)) if i != first]
    _turn(sample, base, left[:followed], others, "those that prevent it turned in more futures")


def _turn(
    sample: Sample, base: _Base, tried: Sequence[_Tried], numbers: Sequence[int], note: str
) -> None:
    jobs = [(each, number) for number in numbers for each in tried]
    asked = [(number, each.decision.jump) for each, number in jobs]
    try:
        ran = sample.turned(asked, base.most, note)
    except Interrupted as stop:
        for (each, _), outcome in zip(jobs, stop.first, strict=False):
            each.outcomes.append(outcome)
        raise
    for (each, _), outcome in zip(jobs, ran, strict=True):
        each.outcomes.append(outcome)


class _Changes(NamedTuple):
    """What else is different with a decision turned."""

    instead: tuple[str, ...]
    lost: int
    new: int

    @property
    def changed(self) -> int:
        """Lines that run no more, or newly."""
        return self.lost + self.new


def _changes(source: Source, base: _Base, tried: _Tried) -> _Changes:
    seen = {sign for outcome in base.outcomes for sign in outcome.seen}
    here = {sign for outcome in tried.outcomes for sign in outcome.seen}
    after = set().union(*_own(source, tried.outcomes))
    return _Changes(
        instead=tuple(sorted(filter(_is_life, here - seen))),
        lost=len(set.intersection(*base.lines) - after),
        new=len(after.difference(*base.lines)),
    )


def _own(source: Source, outcomes: Iterable[Outcome]) -> list[set[Line]]:
    """For each future, the lines of the system's own code that ran."""
    found = []
    for outcome in outcomes:
        lines = {line for part in outcome.code for line in part.lines}
        spots = source.of_lines(lines)
        found.append({line for line in lines if not spots[line].library})
    return found


def _judged(about: str, source: Source, base: _Base, tried: Sequence[_Tried]) -> Decisions:
    of_line: dict[tuple[str, int], list[int]] = {}
    for each in tried:
        jump = each.decision.jump
        of_line.setdefault((jump.file, each.decision.line), []).append(jump.offset)
    rows = []
    for each in tried:
        if not each.outcomes:  # it was stopped early
            continue
        counted, jump = _counted(each.outcomes), each.decision.jump
        after = Rate(sum(o.draw.verdict == "failed" for o in counted), len(counted))
        offsets = sorted(of_line[jump.file, each.decision.line])
        changes = _changes(source, base, each)
        rows.append(
            Decided(
                decision=each.decision,
                spot=each.spot,
                text=source.text(each.spot),
                condition=(offsets.index(jump.offset) + 1, len(offsets)),
                before=base.rate,
                after=after,
                censored=len(each.outcomes) - len(counted),
                chance=min(base.rate.chance(after) * len(tried), 1.0),
                instead=changes.instead,
                lost=changes.lost,
                new=changes.new,
            )
        )
    return Decisions(rows, about, base.rate)


def _counted(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [outcome for outcome in outcomes if outcome.draw.verdict != "censored"]


def _is_life(sign: str) -> bool:
    """Whether it is of containers and test commands: exits, assertions, health."""
    return not sign.startswith((LINE, _FAULT))
