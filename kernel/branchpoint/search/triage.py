"""What is told of a finding without being asked: since when it was likely, and what decided it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from branchpoint import files
from branchpoint.events.listing import inert
from branchpoint.futures import recording as recordings
from branchpoint.futures.draws import Text
from branchpoint.timeline.failures import Failure

_COARSE: dict[str, Any] = {"precision": 0.2, "points": 16, "resolution": 1}
_EVENTS = 5  # of the moment since when it was likely
_WIDTH = 200  # characters of one of them


class Triage(Struct, frozen=True, forbid_unknown_fields=True):
    """Of one finding, in words."""

    likely: Annotated[list[Text], Meta(max_length=200)]
    """How likely the failure was from where: its curve, and what happened at the largest step."""
    decided: Annotated[list[Text], Meta(max_length=200)]
    """Which of the faults decide; empty when there were none."""

    @property
    def lines(self) -> list[str]:
        """All of it."""
        return [*self.likely, *self.decided]


def triage(path: Path, failure: Failure) -> Triage:
    """Draw the curve of a finding's recording, and remove each of its faults in turn.

    The curve is a coarse one; what it is drawn from is kept with the recording, so that a finer one
    goes on from there. An interrupt ends both.
    """
    with closing(recordings.open_recording(path)) as run:
        curve = run.likelihood(failure, **_COARSE)
        if curve.stopped:
            raise KeyboardInterrupt
        likely = [inert(line, _WIDTH) for line in curve.summary]
        turning = curve.turning_point
        if turning and not turning.gradual:
            likely += [inert(f"  {event}", _WIDTH) for event in list(turning.events)[:_EVENTS]]
        decided: list[str] = []
        if any(fault.at <= run.failure.at for fault in run.events.where(type="fault.start")):
            attribution = run.attribute(failure)
            if attribution.unknown:
                raise KeyboardInterrupt
            decided = [inert(line, _WIDTH) for line in attribution.conclusion]
    return Triage(likely, decided)


def keep(told: Triage, path: Path) -> None:
    """Write it to a file."""
    with files.publish(path) as file:
        file.write_bytes(msgspec.json.encode(told) + b"\n")
