"""Futures off one moment."""

from __future__ import annotations

from typing import Any

from branchpoint import progress
from branchpoint.errors import BranchpointError
from branchpoint.explore.allocation import SEEDS
from branchpoint.explore.cluster import open_pool
from branchpoint.explore.draws import Draw
from branchpoint.explore.likelihood import draws_of, question_of
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording


def sample(
    run: Recording,
    moment: Any,
    failure: Failure,
    futures: int,
    *,
    horizon: Any = None,
    workers: int | str | None = None,
    seed: int = 0,
    noise: Any = True,
) -> list[Draw]:
    """So many futures off one moment; those that are known already are not run again.

    They are the first that a curve with this ``seed`` draws there. The rest is as for
    ``run.likelihood``.
    """
    if futures < 1:
        raise BranchpointError(f"{futures} futures tell nothing", "ask for 100")
    at = run.at(moment).at
    question = question_of(run, failure, at, horizon, noise)
    draws = draws_of(run, question)
    seeds = range(seed * SEEDS, seed * SEEDS + futures)
    missing = [(at, one) for one in seeds if draws.get(at, one) is None]
    if missing:
        title = f"{failure.name} from {run.at_ns(at)}"
        with (
            open_pool(
                run, failure, question.horizon,
                relative=question.relative, noise=question.noise, workers=workers,
            ) as pool,
            progress.task(title, futures, "futures") as task,
        ):  # fmt: skip
            for draw in pool.run(missing):
                draws.add(draw)
                task.update(task.done + 1)
    found = (draws.get(at, one) for one in seeds)
    return [draw for draw in found if draw is not None]
