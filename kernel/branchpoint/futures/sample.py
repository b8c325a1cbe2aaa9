"""Futures from one moment, and what the failing ones have that the passing ones do not have."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from branchpoint.clock import Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.allocation import SEEDS
from branchpoint.futures.contrast import Contrast, compare
from branchpoint.futures.curves import draws_of
from branchpoint.futures.interventions import Timeline
from branchpoint.futures.likelihood import question_of
from branchpoint.futures.running.future import LINE, FutureSpec, Outcome
from branchpoint.futures.running.trials import Interrupted, Trials
from branchpoint.futures.stretches import Seen, equal_stretches
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
        horizon: Instant | None,
        workers: int | str | None,
        seed: int,
        noise: Noise,
        lines: bool = True,
    ) -> None:
        """``lines``: whether lines of logs are noted, too. The rest: see ``Recording.contrast``."""
        self._run, self._timeline = run, Timeline(run, moment)
        self.moment = self._timeline.moment
        """The moment at which they begin."""
        here = self.moment
        # Futures of the recording are the same as those of a curve, and are kept with it.
        self._recorded = here.at <= run.manifest.end and here.inputs == run.end.inputs
        until = run.end if here.at <= run.manifest.end else here
        self._question, _ = question_of(until, failure, here.at, horizon, noise)
        self._first, self._lines = seed * SEEDS, lines
        title = f"{failure.name} from {here}"
        self._trials = Trials(run, failure, self._question, workers, title)

    def run(self, numbers: range, note: str = "") -> list[Outcome]:
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

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        if self._recorded:
            draws = draws_of(self._run, self._question)
            for outcome in outcomes:
                draws.add(outcome.draw)
            draws.ask(outcome.draw for outcome in outcomes)

    def _job(self, number: int) -> FutureSpec:
        seed, here = self._first + number, self.moment.at
        if self._recorded:
            return FutureSpec(here, seed, lines=self._lines)
        timeline = self._timeline
        return timeline.job(timeline.reseeded(seed, self._question.noise), here, lines=self._lines)

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
    if futures is not None and futures < 1:
        raise BranchpointError(
            f"futures={futures} must be at least 1", "leave it out for as many as needed"
        )
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
