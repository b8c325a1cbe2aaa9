"""A smallest set of faults that is enough for a failure."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from branchpoint.clock import SECOND, Instant
from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.futures.attribution import Case, check_skipped
from branchpoint.futures.interventions import Happened
from branchpoint.futures.partial import AGAIN
from branchpoint.futures.running.trials import Interrupted, Trials
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Stretch
from branchpoint.timeline.recorder.rerecord import R, rerecord
from branchpoint.timeline.recording import Recording

_AFTER = 2 * SECOND  # ns that the new recording goes on after the failure

_NAMED = 5  # faults

T = TypeVar("T")


def ddmin(
    things: Sequence[T],
    first: Callable[[list[list[T]]], int | None],
    fewer: Callable[[list[T]], None] = lambda kept: None,
) -> list[T]:
    """A part of ``things`` that fails, but does not fail when any single one of it is removed.

    ``first`` gives the index of the first of some parts that fails, or None; all things together
    must fail. Halves are tried, then quarters and all but a quarter, and so on. ``fewer`` is called
    with each smaller part that fails.

    A. Zeller, R. Hildebrandt, Simplifying and isolating failure-inducing input, IEEE Trans.
    Softw. Eng. 28 (2002) 183-200.
    """
    kept, pieces = list(things), 2
    if not kept or first([[]]) is not None:
        return []
    while len(kept) > 1:
        parts = _split(kept, pieces)
        # With two parts, each is all but the other already.
        others = [[t for p in parts if p is not part for t in p] for part in parts if pieces > 2]
        found = first([*parts, *others])
        if found is None:
            if pieces == len(kept):
                break
            pieces = min(2 * pieces, len(kept))
        elif found < len(parts):
            kept, pieces = parts[found], 2
        else:
            kept, pieces = others[found - len(parts)], max(pieces - 1, 2)
        if found is not None:
            fewer(kept)
    return kept


def _split(things: list[T], pieces: int) -> list[list[T]]:
    """So many parts, none empty, as even as can be."""
    edges = [len(things) * i // pieces for i in range(pieces + 1)]
    return [things[a:b] for a, b in pairwise(edges)]


def minimise(
    run: Recording,
    failure: Failure,
    path: Path | str | None,
    *,
    of: Any,
    horizon: Instant | None,
    workers: int | str | None,
    kind: type[R],
) -> R:
    """See ``Recording.minimise``."""
    target = (
        Path(path)
        if path is not None
        else run.path.with_name(f"{run.path.stem}-minimal.branchpoint")
    )
    if target.exists():  # better now than after the search
        raise RecordingError(f"{target} exists already", "choose another name, or remove it first")
    _check_recordable(run, failure)
    case = Case(run, failure, of, horizon)
    timeline, faults = case.timeline, case.faults
    start = min(timeline.begin(fault) for fault in faults)

    def removed(kept: Sequence[Happened]) -> list[Happened]:
        return [fault for fault in faults if fault not in kept]

    with Trials(run, failure, case.question, workers, f"fewer faults for {failure.name}") as trials:

        def first(sets: list[list[Happened]]) -> int | None:
            for begin in range(0, len(sets), trials.count):
                some = sets[begin : begin + trials.count]
                jobs = [timeline.job(case.without(removed(kept)), start) for kept in some]
                for number, outcome in enumerate(trials.run(jobs), begin):
                    for fault in removed(sets[number]):
                        check_skipped(fault, outcome)
                    if outcome.draw.verdict == "failed":
                        return number
            return None

        if case.happened is None:
            (whole,) = trials.run([timeline.job(timeline.inputs, start)])
            case.check(whole.draw)
        kept = faults

        def fewer(found: list[Happened]) -> None:
            nonlocal kept
            kept = found

        try:
            kept = ddmin(faults, first, fewer)
        except Interrupted as stop:
            if len(kept) < len(faults):
                stop.add_note(f"{len(kept)} of {len(faults)} faults are enough: {_listed(kept)}")
            raise
    gone = removed(kept)
    return _recorded(case, case.without(gone) if gone else timeline.inputs, target, kind)


def _check_recordable(run: Recording, failure: Failure) -> None:
    nothing = run.at_ns(run.origin).events.columns
    if failure.judge(Stretch(run.origin, run.manifest.end, run.origin, nothing)).waiting:
        raise BranchpointError(
            f"a recording cannot wait for {failure.name!r}: the command would be part of it",
            "run.attribute tells which faults decide, also for a command's verdict",
        )


def _listed(faults: Sequence[Happened]) -> str:
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    return ", ".join(map(str, faults[:_NAMED])) + more


def _recorded(case: Case, inputs: list[Any], target: Path, kind: type[R]) -> R:
    try:
        made = rerecord(
            case.timeline.run, target, inputs, case.failure,
            horizon=case.question.horizon, after=_AFTER, kind=kind,
        )  # fmt: skip
    except KeyboardInterrupt as stop:
        # Half a recording would be in the way of the whole one.
        shutil.rmtree(target, ignore_errors=True)
        stop.add_note(f"the faults that are enough are known, but not recorded yet; {AGAIN}")
        raise
    if made.manifest.failure is None:
        raise RecordingError(
            f"{target} does not fail, although a future with the same faults did",
            "run `branchpoint doctor`; if this engine is sound, report this as a bug",
        )
    return made
