"""Futures from one moment, and what the failing ones have that the passing ones do not have."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

from msgspec import structs

from branchpoint.clock import Instant
from branchpoint.errors import BranchpointError
from branchpoint.futures import partial
from branchpoint.futures.allocation import SEEDS
from branchpoint.futures.contrast import Contrast, compare
from branchpoint.futures.curves import draws_of
from branchpoint.futures.draws import Question
from branchpoint.futures.interventions import Timeline
from branchpoint.futures.likelihood import question_of
from branchpoint.futures.running.future import FutureSpec, Outcome
from branchpoint.futures.running.signatures import LINE
from branchpoint.futures.running.trials import Interrupted, Trials
from branchpoint.futures.stretches import Seen, equal_stretches
from branchpoint.machine.watching.bytecode import Jump
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
        self._run = run
        self._stand(moment)
        here = self.moment
        until = run.end if here.at <= run.manifest.end else here
        self._question = question or question_of(until, failure, here.at, horizon, noise)[0]
        self._first, self._lines = seed * SEEDS, lines
        title = f"{failure.name} from {here}"
        self._trials = Trials(run, failure, self._question, workers, title)

    def _stand(self, moment: Instant) -> None:
        self._timeline = Timeline(self._run, moment)
        self.moment = here = self._timeline.moment
        """The moment at which they begin."""
        # Futures of the recording are the same as those of a curve, and are kept with it.
        end = self._run.end
        self._recorded = here.at <= self._run.manifest.end and here.inputs == end.inputs

    def moved(self, moment: Instant) -> Sample:
        """Futures from another moment, run by the same workers, until this one's block ends."""
        other = copy.copy(self)
        other._stand(moment)
        return other

    def run(self, numbers: Sequence[int], note: str = "") -> list[Outcome]:
        """What becomes of the futures with these numbers; ``note`` is shown meanwhile.

        :raises Interrupted: when interrupted; what is known by then is kept.
        """
        jobs = [self._job(number) for number in numbers]
        try:
            outcomes = self._trials.run(jobs, note)
        except Interrupted as stop:
            self._keep([outcome for outcome in stop.found if outcome is not None], stop.first)
            raise
        self._keep(outcomes, outcomes)
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
        draws.ask(kept.values())
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

    def code(self, parts: Mapping[int, list[int]]) -> list[Outcome]:
        """The code that runs in the futures with these numbers, up to each of some instants,
        absolute ns.

        :raises Interrupted: when interrupted; what is known by then is kept.
        """
        jobs = [
            structs.replace(self._job(number), lines=False, code=instants)
            for number, instants in parts.items()
        ]
        return self._trials.run(jobs, "once more, for the code that runs")

    def turned(
        self, jobs: Sequence[tuple[int, Jump]], most: tuple[int, int], note: str = ""
    ) -> list[Outcome]:
        """What becomes of futures when a Python program goes the other way at a jump from there
        on, and which lines run; of each is given its number and the jump. ``most`` says how much
        byte code may run in them: so many instructions, in so many ns.

        :raises Interrupted: as :meth:`run`.
        """
        return self._trials.run(
            [structs.replace(self._job(i), turned=[jump], most=most) for i, jump in jobs], note
        )

    def _keep(self, outcomes: Sequence[Outcome], asked: Sequence[Outcome]) -> None:
        """Keep all of these with the recording; show only those that were ``asked`` for."""
        if self._recorded:
            draws = draws_of(self._run, self._question)
            for outcome in outcomes:
                draws.add(outcome.draw)
            draws.ask(outcome.draw for outcome in asked)

    def _job(self, number: int, inputs: Sequence[Input] = ()) -> FutureSpec:
        seed, here = self._first + number, self.moment.at
        if self._recorded:
            return FutureSpec(here, seed, list(inputs), lines=self._lines)
        timeline = self._timeline
        seeded = timeline.reseeded(seed, self._question.noise)
        given = sorted([*seeded, *inputs], key=lambda each: each.at)
        return timeline.job(given, here, since=here, lines=self._lines)

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
    check(futures)
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


def check(futures: int | None) -> None:
    """:raises BranchpointError: when so many cannot be drawn."""
    if futures is not None and futures < 1:
        raise BranchpointError(
            f"futures={futures} must be at least 1", "leave it out for as many as needed"
        )


def drawn(
    run: Callable[[range, str], list[Outcome]], futures: int | None, of_each: int = OF_EACH
) -> list[Outcome]:
    """Run so many ``futures``; None: until ``of_each`` fail and as many pass, or it is enough.

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
        more = _more(outcomes, of_each)
    return outcomes


def _more(outcomes: Sequence[Outcome], of_each: int) -> int:
    """How many futures to draw next: as many as are needed if the same share fails (or passes), but
    no more than were drawn so far, because the share may be wrong.
    """
    total, fewest = len(outcomes), min(_count(outcomes, "failed"), _count(outcomes, "passed"))
    if fewest >= of_each:
        return 0
    expected = math.ceil((of_each - fewest) * (total + 1) / (fewest + 1))
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
