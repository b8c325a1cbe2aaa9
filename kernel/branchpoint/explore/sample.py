"""Futures off one moment, and what the failing ones have that the passing ones have not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from branchpoint.errors import BranchpointError
from branchpoint.explore.allocation import SEEDS
from branchpoint.explore.contrast import Contrast, compare
from branchpoint.explore.curves import draws_of
from branchpoint.explore.future import LINE, Job, Outcome
from branchpoint.explore.interventions import Timeline
from branchpoint.explore.likelihood import question_of
from branchpoint.explore.stretches import Seen, equal_stretches
from branchpoint.explore.trials import Trials
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording

FIRST = 40
"""Futures that are drawn in any case, when no number is asked for."""
OF_EACH = 6
"""So many have to fail and so many to pass. Among 40 futures or more, that is enough for a cause
that all failing ones have, and no other, to be found among 100 000; and for one that two of the six
lack, among hundreds."""
MOST = 120
"""Futures that are drawn at most, when no number is asked for: a minute of the demo, of which one
from 12 s before the failure takes a second of one of two cores. Where 5 % fail, 6 of so many can be
expected, and 2, which are enough for a cause that both have among hundreds, fail in 98 of 100."""


def contrast_off(
    run: Recording,
    moment: Any,
    failure: Failure,
    futures: int | None,
    *,
    only: str,
    lines: bool,
    horizon: Any,
    workers: int | str | None,
    seed: int,
    noise: Any,
) -> Contrast:
    """See ``Recording.contrast``."""
    if futures is not None and futures < 1:
        raise BranchpointError(f"{futures} futures tell nothing", "leave out futures=")
    timeline = Timeline(run, moment)
    here = timeline.moment
    recorded = here.at <= run.manifest.end and here.inputs == run.end.inputs
    until = run.end if here.at <= run.manifest.end else here
    question, _ = question_of(until, failure, here.at, horizon, noise)

    def job(number: int) -> Job:
        one = seed * SEEDS + number
        if recorded:
            return Job(here.at, one, lines=True)
        return timeline.job(timeline.reseeded(one, question.noise), here.at, lines=True)

    with Trials(run, failure, question, workers, f"{failure.name} from {here}") as trials:
        outcomes = drawn(
            lambda numbers, note: trials.run([job(number) for number in numbers], note), futures
        )
    if recorded:  # they are futures as those of a curve
        draws = draws_of(run, question)
        for outcome in outcomes:
            draws.add(outcome.draw)
        draws.ask(outcome.draw for outcome in outcomes)
    about, censored = f"{failure.name}: futures from {here}", _count(outcomes, "censored")
    return compare(looked_at(outcomes, lines=lines), about, only, censored)


def drawn(run: Callable[[range, str], list[Outcome]], futures: int | None) -> list[Outcome]:
    """So many ``futures``; None: until there are enough failing and passing ones, or too many.

    ``run`` runs those with these numbers, and shows a note meanwhile.

    Whether to go on is decided by the verdicts of whole batches and by nothing else, and so is how
    large the next batch is. That keeps the test exact: it takes the verdicts as given and asks how
    a cause that has nothing to do with them would fall among them, and whoever knows all verdicts
    knows where the drawing ends. If what causes did had a say, it could end just when one of them
    looks odd.
    """
    if futures is not None:
        return run(range(futures), "")
    outcomes: list[Outcome] = []
    more = FIRST
    while more:
        outcomes += run(range(len(outcomes), len(outcomes) + more), _note(outcomes))
        more = _more(outcomes)
    return outcomes


def _more(outcomes: Sequence[Outcome]) -> int:
    """How many futures to draw next: as many as it takes if as large a share fails (or passes), no
    more than there are, as this may be wrong.
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
    """Which futures failed, and what happened in them, with or without lines of logs, before that
    or in as long a time; see :func:`equal_stretches`.
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
