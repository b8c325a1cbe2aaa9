"""Futures from one moment, and what the failing ones have that the passing ones do not have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from msgspec import structs

from branchpoint.clock import SECOND, Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.allocation import SEEDS
from branchpoint.futures.contrast import Contrast, compare
from branchpoint.futures.culprits.compared import Future, culprits
from branchpoint.futures.culprits.culprits import Culprits
from branchpoint.futures.culprits.source import Source
from branchpoint.futures.curve import Curve, CurvePoint
from branchpoint.futures.curves import draws_of
from branchpoint.futures.draws import Question
from branchpoint.futures.interventions import Timeline
from branchpoint.futures.likelihood import question_of
from branchpoint.futures.running.future import LINE, FutureSpec, Outcome
from branchpoint.futures.running.trials import Interrupted, Trials
from branchpoint.futures.stretches import Seen, ends, equal_stretches
from branchpoint.store.manifest import Input
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import Noise

FIRST = 40
"""Futures that are drawn at least, when no number is asked for."""
OF_EACH = 6
"""This many have to fail and this many to pass. With 40 futures or more, that is enough to find,
among 100 000 causes, one that all failing futures have and no other; and, among hundreds of causes,
one that two of the six failing futures lack."""
MOST = 120
"""Futures that are drawn at most, when no number is asked for. For the demo this takes a minute on
two cores: a future from 12 s before the failure takes one core a second. Where 5 % fail, 6 failures
can be expected; in 98 of 100 cases at least 2 fail, which is enough to find, among hundreds of
causes, one that both have."""

TOLD = 30
"""Failing futures whose code is told, and passing ones, at most: each is run once more for it."""


class Sample:
    """Futures from one moment, by number. Each is run when it is asked for, and kept.

    Use it in a ``with`` block: its workers end with the block.
    """

    def __init__(
        self,
        run: Recording,
        moment: Instant,
        failure: Failure,
        *,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
        lines: bool = True,
        question: Question | None = None,
    ) -> None:
        """``lines``: whether lines of logs are noted, too; with a ``question``, that is asked
        instead of that which horizon and noise give. The rest: see ``Recording.contrast``.
        """
        self._run, self._timeline = run, Timeline(run, moment)
        self.moment = self._timeline.moment
        """The moment at which they begin."""
        here = self.moment
        # Futures of the recording are the same as those of a curve, and are kept with it.
        self._recorded = here.at <= run.manifest.end and here.inputs == run.end.inputs
        until = run.end if here.at <= run.manifest.end else here
        self._question = question or question_of(until, failure, here.at, horizon, noise)[0]
        self._first, self._lines = seed * SEEDS, lines
        title = f"{failure.name} from {here}"
        self._trials = Trials(run, failure, self._question, workers, title)

    def run(self, numbers: Sequence[int], note: str = "") -> list[Outcome]:
        """What becomes of the futures with these numbers; ``note`` is shown meanwhile.

        :raises Interrupted: when interrupted; what is known by then is kept.
        """
        jobs = [self._job(number) for number in numbers]
        try:
            outcomes = self._trials.run(jobs, note)
        except Interrupted as stop:
            self._keep([outcome for outcome in stop.found if outcome is not None])
            raise
        self._keep(outcomes)
        return outcomes

    def changed(self, numbers: Sequence[int], inputs: Sequence[Input]) -> list[Outcome]:
        """What becomes of these futures when the machine gets more inputs, none before the moment.

        :raises Interrupted: as :meth:`run`.
        """
        return self._trials.run([self._job(number, inputs) for number in numbers], "changed")

    def verdicts(self, numbers: Sequence[int], note: str = "") -> list[Outcome]:
        """The same, but of those futures that a curve has drawn already, only the draw is known.

        :raises Interrupted: as :meth:`run`.
        """
        draws = draws_of(self._run, self._question)
        kept = {
            number: draw
            for number in numbers
            if self._recorded and (draw := draws.get(self.moment.at, self._first + number))
        }
        missing = [number for number in numbers if number not in kept]

        def together(ran: Sequence[Outcome | None]) -> list[Outcome | None]:
            each = iter(ran)
            return [Outcome(kept[number]) if number in kept else next(each) for number in numbers]

        try:
            ran: list[Outcome | None] = [*self.run(missing, note)]
        except Interrupted as stop:
            stop.found[:] = together(stop.found)
            raise
        return [outcome for outcome in together(ran) if outcome is not None]

    def code(self, until: Mapping[int, int]) -> list[Outcome]:
        """The code that runs in the futures with these numbers, each up to an instant, absolute ns.

        :raises Interrupted: when interrupted; what is known by then is kept.
        """
        jobs = [
            structs.replace(self._job(number), lines=False, code=_parts(self.moment.at, end))
            for number, end in until.items()
        ]
        return self._trials.run(jobs, "once more, for the code that runs")

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if self._recorded:
            draws = draws_of(self._run, self._question)
            for outcome in outcomes:
                draws.add(outcome.draw)
            draws.ask(outcome.draw for outcome in outcomes)

    def _job(self, number: int, inputs: Sequence[Input] = ()) -> FutureSpec:
        seed, here = self._first + number, self.moment.at
        if self._recorded:
            return FutureSpec(here, seed, list(inputs), lines=self._lines)
        timeline = self._timeline
        seeded = timeline.reseeded(seed, self._question.noise)
        given = sorted([*seeded, *inputs], key=lambda each: each.at)
        return timeline.job(given, here, lines=self._lines)

    def __enter__(self) -> Self:
        self._trials.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._trials.__exit__(*error)


def contrast_off(
    run: Recording,
    moment: Instant,
    failure: Failure,
    futures: int | None,
    *,
    only: str,
    lines: bool,
    **how: Any,
) -> Contrast:
    """See ``Recording.contrast``; ``how`` is as for :class:`Sample`."""
    _check(futures)
    about = f"{failure.name}: futures from "
    with Sample(run, moment, failure, **how) as sample:
        try:
            outcomes = drawn(sample.run, futures)
        except Interrupted as stop:
            outcomes = stop.first
            partial.give(stop, len(outcomes), len(stop.found))
            about = f"{failure.name}, stopped early: futures from "
    about, censored = f"{about}{sample.moment}", _count(outcomes, "censored")
    return compare(looked_at(outcomes, lines=lines), about, only, censored)


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

    First futures are drawn as for any contrast. Then each is run once more, up to the instant up to
    which it is to be looked at, which the verdicts of all decide; only then is the code that runs
    told, which takes longer.
    """
    _check(futures)
    about = f"{failure.name}: futures from "
    with Sample(run, moment, failure, **how) as sample:
        try:
            outcomes = drawn(sample.verdicts, futures)
            until = _looked_at_until(outcomes)
            ran = sample.code(until)
        except Interrupted as stop:
            # Without their code, verdicts are of no use here.
            ran = [outcome for outcome in stop.first if outcome.code]
            partial.give(stop, len(ran), len(stop.found))
            about = f"{failure.name}, stopped early: futures from "
    told = [
        Future(outcomes[number].draw.verdict == "failed", outcome.code)
        for number, outcome in zip(until, ran, strict=False)
        if outcome.code  # of one whose machine stopped there is none
    ]
    if not until:  # none failed
        told = [Future(failed=False, ran=[])] * _count(outcomes, "passed")
    source = Source(run.replayer.snapshot.spec.modules[-1])
    about, censored = f"{about}{sample.moment}", _count(outcomes, "censored")
    return culprits(told, source, about, only, censored)


def culprits_of(curve: Curve, at: Any, only: str, workers: int | str | None = None) -> Culprits:
    """See ``Curve.culprits``."""
    if curve.failure is None:
        raise BranchpointError(
            "this curve was kept with the recording, without what its failure is",
            'run.contrast(moment, failure, by="code")',
        )
    point = curve.point(at) if at is not None or not curve.points else max(curve.points, key=_even)
    moment = curve.run.at_ns(point.at)
    return culprits_off(
        curve.run, moment, curve.failure, None, only=only, question=curve.question, workers=workers
    )


def _even(point: CurvePoint) -> tuple[float, int]:
    """How equally often futures from a point fail and pass, the later one of equals: less happens
    before it fails. With half a future added to each, so that few futures mean little.
    """
    share = (point.failed + 0.5) / (point.trials + 1)
    return -abs(share - 0.5), point.at


def _parts(start: int, end: int) -> list[int]:
    """The parts of a future of which code is told: all but the last second, and that."""
    return [end - SECOND, end] if end - SECOND > start else [end]


def _looked_at_until(outcomes: Sequence[Outcome]) -> dict[int, int]:
    """The futures whose code is to be told, by number, and up to which instant each, absolute ns:
    those that failed, and those that passed, some of either if there are many; none if none failed.
    Only verdicts decide which, as in :func:`drawn`.
    """
    counted = {i: each.draw for i, each in enumerate(outcomes) if each.draw.verdict != "censored"}
    failed = [i for i, draw in counted.items() if draw.verdict == "failed"]
    chosen = sorted(failed[:TOLD] + [i for i in counted if i not in failed][:TOLD])
    until = ends([counted[i].failed_at for i in chosen])
    return {i: end for i, end in zip(chosen, until, strict=True) if end is not None}


def _check(futures: int | None) -> None:
    if futures is not None and futures < 1:
        raise BranchpointError(
            f"futures={futures} must be at least 1", "leave it out for as many as needed"
        )


def drawn(run: Callable[[range, str], list[Outcome]], futures: int | None) -> list[Outcome]:
    """Run so many ``futures``; None: until enough fail and enough pass, or there are too many.

    ``run`` runs the futures with these numbers, and shows a note meanwhile. When it is interrupted,
    the error that it raises also gets the earlier outcomes.

    Only the verdicts of whole batches decide whether to go on, and how large the next batch is.
    That keeps the test exact: it takes the verdicts as given and asks how a cause that has nothing
    to do with them would be spread among them, and the verdicts alone determine where drawing ends.
    If causes had an influence, drawing could end just when one of them looks extreme.
    """
    if futures is not None:
        return run(range(futures), "")
    outcomes: list[Outcome] = []
    more = FIRST
    while more:
        try:
            outcomes += run(range(len(outcomes), len(outcomes) + more), _note(outcomes))
        except Interrupted as stop:
            stop.found[:0] = outcomes
            raise
        more = _more(outcomes)
    return outcomes


def _more(outcomes: Sequence[Outcome]) -> int:
    """How many futures to draw next: as many as are needed if the same share fails (or passes), but
    no more than were drawn so far, because the share may be wrong.
    """
    total, fewest = len(outcomes), min(_count(outcomes, "failed"), _count(outcomes, "passed"))
    if fewest >= OF_EACH:
        return 0
    expected = math.ceil((OF_EACH - fewest) * (total + 1) / (fewest + 1))
    return min(expected, total, MOST - total)


def _note(outcomes: Sequence[Outcome]) -> str:
    if not outcomes:
        return ""
    return f"{_count(outcomes, 'failed')} fail, {_count(outcomes, 'passed')} pass so far"


def _count(outcomes: Sequence[Outcome], verdict: str) -> int:
    return sum(outcome.draw.verdict == verdict for outcome in outcomes)


def looked_at(outcomes: Sequence[Outcome], *, lines: bool) -> Iterator[tuple[bool, list[str]]]:
    """Which futures failed, and what happened in them, with or without lines of logs, over equal
    times; see :func:`equal_stretches`.
    """
    return equal_stretches(
        [
            Seen(
                outcome.draw.failed_at,
                {
                    what: at
                    for what, at in outcome.seen.items()
                    if lines or not what.startswith(LINE)
                },
            )
            for outcome in outcomes
            if outcome.draw.verdict != "censored"
        ]
    )
