"""Futures from one moment, and the code that runs in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from branchpoint.clock import SECOND, Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.culprits.compared import Future, culprits
from branchpoint.futures.culprits.culprits import Culprits
from branchpoint.futures.culprits.source import Source
from branchpoint.futures.culprits.turning import decisions_near
from branchpoint.futures.curve import Curve, CurvePoint
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.running.trials import Interrupted
from branchpoint.futures.sample import OF_EACH, Sample, check, drawn
from branchpoint.futures.stretches import ends
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording

ENOUGH = 12
"""Failing futures that are drawn, and passing ones, unless that takes too many: code comes in many
more pieces than other causes, and a fault that also runs where it passes needs more to be found."""
TOLD = 30
"""Failing futures whose code is told, and passing ones, at most: each is run once more for it."""


def culprits_off(
    run: Recording,
    moment: Instant,
    failure: Failure,
    futures: int | None,
    *,
    only: str,
    **how: Any,
) -> Culprits:
    """See ``Recording.contrast`` with ``by="code"``; ``how`` is as for :class:`Sample`.

    First futures are drawn as for any contrast. Then some are run once more, up to the instant up
    to which each is to be looked at, which the verdicts of all decide; only then is the code that
    runs told, which takes longer.
    """
    with Sample(run, moment, failure, **how) as sample:
        return _compared(sample, run, failure, futures, only, ENOUGH)


def _compared(
    sample: Sample,
    run: Recording,
    failure: Failure,
    futures: int | None,
    only: str,
    enough: int,
) -> Culprits:
    check(futures)
    about, stopped = f"{failure.name}: futures from {sample.moment}", False
    try:
        outcomes = drawn(sample.verdicts, futures, enough)
        until = looked_at_until(outcomes)
        ran = sample.code({i: _parts(sample.moment.at, end) for i, end in until.items()})
    except Interrupted as stop:
        # Without their code, verdicts are of no use here.
        ran = stop.first
        partial.give(stop, sum(bool(outcome.code) for outcome in ran), len(stop.found))
        about, stopped = f"{about}, stopped early", True
    verdicts = [outcome.draw.verdict for outcome in outcomes]
    told = [
        Future(verdicts[number] == "failed", outcome.code)
        for number, outcome in zip(until, ran, strict=False)
        if outcome.code  # of one whose machine stopped there is none
    ]
    if not until:  # none failed
        told = [Future(failed=False, ran=[])] * verdicts.count("passed")
    source = Source(run.replayer.snapshot.spec.modules[-1])
    counted = verdicts.count("failed"), verdicts.count("passed")
    found = culprits(told, source, about, only, counted, verdicts.count("censored"))
    found.stopped = stopped
    return found


def culprits_of(curve: Curve, at: Any, only: str, workers: int | str | None = None) -> Culprits:
    """See ``Curve.culprits``. The same workers run all its futures.

    Of the moments that a curve knows, the best is looked at. Even from there few futures may fail,
    and more failures cost many futures, so that :data:`OF_EACH` are enough here.
    """
    if curve.failure is None:
        raise BranchpointError(
            "this curve was kept with the recording, without what its failure is",
            'run.contrast(moment, failure, by="code")',
        )
    point = curve.point(at) if at is not None or not curve.points else max(curve.points, key=_even)
    moment = curve.run.at_ns(point.at)
    run, failure = curve.run, curve.failure
    with Sample(run, moment, failure, question=curve.question, workers=workers) as sample:
        found = _compared(sample, run, failure, None, only, OF_EACH)
        if found.starts and not found.stopped:
            try:
                found.decisions = decisions_near(sample, curve, only)
            except Interrupted as stop:
                partial.give(stop, found.futures)
    return found


def _even(point: CurvePoint) -> tuple[float, int]:
    """How equally often futures from a point fail and pass, the later one of equals: less happens
    before it fails. With half a future added to each, so that few futures mean little.
    """
    share = (point.failed + 0.5) / (point.trials + 1)
    return -abs(share - 0.5), point.at


def _parts(start: int, end: int) -> list[int]:
    """The parts of a future of which code is told: all but the last second, and that."""
    return [end - SECOND, end] if end - SECOND > start else [end]


def looked_at_until(outcomes: Sequence[Outcome]) -> dict[int, int]:
    """The futures whose code is to be told, by number, and up to which instant each, absolute ns:
    those that failed, and those that passed, some of either if there are many; none if none failed.
    Only verdicts decide which, as in :func:`~branchpoint.futures.sample.drawn`.
    """
    counted = {i: each.draw for i, each in enumerate(outcomes) if each.draw.verdict != "censored"}
    failed = [i for i, draw in counted.items() if draw.verdict == "failed"]
    passed = [i for i, draw in counted.items() if draw.verdict == "passed"]
    chosen = sorted(failed[:TOLD] + passed[:TOLD])
    until = ends([counted[i].failed_at for i in chosen])
    return {i: end for i, end in zip(chosen, until, strict=True) if end is not None}
