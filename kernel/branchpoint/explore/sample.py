"""Futures off one moment, and what the failing ones have that the passing ones have not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from branchpoint.errors import BranchpointError
from branchpoint.explore.allocation import SEEDS
from branchpoint.explore.contrast import Contrast, compare
from branchpoint.explore.curves import draws_of
from branchpoint.explore.future import LINE, Job, Outcome
from branchpoint.explore.interventions import Timeline
from branchpoint.explore.likelihood import question_of
from branchpoint.explore.trials import Trials
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording


def contrast_off(
    run: Recording,
    moment: Any,
    failure: Failure,
    futures: int,
    *,
    only: str,
    lines: bool,
    horizon: Any,
    workers: int | str | None,
    seed: int,
    noise: Any,
) -> Contrast:
    """See ``Recording.contrast``."""
    if futures < 1:
        raise BranchpointError(f"{futures} futures tell nothing", "ask for 40")
    timeline = Timeline(run, moment)
    here = timeline.moment
    recorded = here.at <= run.manifest.end and here.inputs == run.end.inputs
    until = run.end if here.at <= run.manifest.end else here
    question, _ = question_of(until, failure, here.at, horizon, noise)
    seeds = range(seed * SEEDS, seed * SEEDS + futures)
    jobs = [
        Job(here.at, one, lines=True)
        if recorded
        else timeline.job(timeline.reseeded(one, question.noise), here.at, lines=True)
        for one in seeds
    ]
    with Trials(run, failure, question, workers, f"{failure.name} from {here}") as trials:
        outcomes = trials.run(jobs)
    if recorded:  # they are futures as those of a curve
        draws = draws_of(run, question)
        for outcome in outcomes:
            draws.add(outcome.draw)
        draws.ask(outcome.draw for outcome in outcomes)
    unlike = "" if lines else LINE
    return compare(
        (
            (failed, (cause for cause in causes if not unlike or not cause.startswith(unlike)))
            for failed, causes in looked_at(outcomes)
        ),
        f"{failure.name}: futures from {here}",
        only,
        many=lines,
    )


def looked_at(outcomes: Sequence[Outcome]) -> Iterator[tuple[bool, list[str]]]:
    """Which futures failed, and what happened in them before that.

    A failing future is looked at up to its failure only. If passing ones were looked at up to
    their end, whatever happens late would seem to prevent the failure. So they are looked at up to
    the instants at which the failing ones failed, each of these for as many passing ones.
    """
    counted = [outcome for outcome in outcomes if outcome.draw.verdict != "censored"]
    ends = sorted(o.draw.failed_at for o in counted if o.draw.failed_at is not None)
    passing = sum(outcome.draw.failed_at is None for outcome in counted)
    number = 0
    for outcome in counted:
        end = outcome.draw.failed_at
        if end is None and ends:
            end = ends[number * len(ends) // passing]
            number += 1
        failed = outcome.draw.failed_at is not None
        yield failed, [what for what, at in outcome.seen.items() if end is None or at < end]
