"""What is told of a finding without being asked: since when it was likely, and what decided it."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Set
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from branchpoint import files
from branchpoint.events.listing import inert
from branchpoint.futures import recording as recordings
from branchpoint.futures.draws import Text
from branchpoint.futures.recording import Recording
from branchpoint.timeline.failures import Failure

_COARSE: dict[str, Any] = {"precision": 0.2, "points": 16, "resolution": 1}
_EVENTS = 5  # of the moment since when it was likely
_WIDTH = 200  # characters of a line
_PARAGRAPH = 1500
_COLUMNS = 100


class Triage(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one finding, in words."""

    likely: Annotated[list[Text], Meta(max_length=200)]
    """How likely the failure was from where: its curve, and what happened at the largest step."""
    decided: Annotated[list[Text], Meta(max_length=200)]
    """Which of the faults decide; empty when there were none."""
    words: Text = ""
    """All in one paragraph; see :mod:`~branchpoint.futures.explaining`."""
    code: Annotated[list[Text], Meta(max_length=200)] = []
    """Which code runs where it fails and not where it passes; empty when that is not known."""

    @property
    def evidence(self) -> list[str]:
        """What the paragraph rests on."""
        return [*self.likely, *self.decided, *self.code]

    @property
    def lines(self) -> list[str]:
        """All of it."""
        return [*textwrap.wrap(self.words, _COLUMNS), *self.evidence]


def triage(path: Path, failure: Failure, workers: int | str | None = None) -> Triage:
    """Explain the failure of a finding's recording; ``workers`` are as for an exploration.

    Its curve is a coarse one; what it is drawn from is kept with the recording, so that a finer one
    goes on from there.

    :raises KeyboardInterrupt: when it is interrupted.
    """
    with closing(recordings.open_recording(path)) as run:
        curve = run.likelihood(failure, workers=workers, **_COARSE)
        if curve.stopped:
            raise KeyboardInterrupt
        told = run.explain(failure, curve=curve, workers=workers)
        likely = curve.summary
        turning = curve.turning_point
        if turning and not turning.gradual:
            likely += [f"  {event}" for event in list(turning.events)[:_EVENTS]]
        decided = told.attribution.conclusion if told.attribution else []
        if told.attribution is not None and len(told.attribution.rows) > 1:
            tested = {row.fault.id for row in told.attribution.rows}
            decided = [*decided, _fewest(run, path, failure, tested)]
        code = repr(told.culprits).splitlines() if told.culprits else []
        return Triage(_inert(likely), _inert(decided), inert(told.words, _PARAGRAPH), _inert(code))


def _fewest(run: Recording, path: Path, failure: Failure, tested: Set[str]) -> str:
    """Look for the fewest of the faults with these ids that are enough, and keep a recording with
    these only. It may fail later than ``run``, after faults that nobody has tried to remove.
    """
    target = path.with_name(f"{path.stem}-minimal{path.suffix}")
    unfinished = target.with_name(f".{target.name}")
    if not target.exists():
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        run.minimise(failure, unfinished).close()
        unfinished.rename(target)
    with closing(recordings.open_recording(target)) as small:
        begun = {each.fields.get("id") for each in small.events.where(type="fault.start")}
    needed = len(begun & tested)
    if needed == len(tested):
        shutil.rmtree(target)  # it is the same
        return f"all of its {needed} faults are needed"
    return f"{needed} of its {len(tested)} faults are enough: {target.name}"


def _inert(lines: Iterable[str]) -> list[str]:
    return [inert(line, _WIDTH) for line in lines]


def keep(told: Triage, path: Path) -> None:
    """Write it to a file."""
    with files.publish(path) as file:
        file.write_bytes(msgspec.json.encode(told) + b"\n")
