"""The recording that users hold: its one past, and its many futures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from branchpoint.timeline import record as recorder
from branchpoint.timeline import recording as timeline
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.queries import Query


class Recording(timeline.Recording):
    """A recorded run. Made by ``branchpoint.open(path)`` and ``branchpoint.record(...)``.

    ``run.at(12.5)``, ``run.end``, ``run.failure`` and ``run.moments("exit")`` give moments;
    ``run.events`` everything that was seen.
    """


def open_recording(path: Path | str) -> Recording:
    """Open a recording. Nothing runs until a moment of it is visited.

    One that this process has open already is given again.

    :raises RecordingError: when it is not a recording, is damaged beyond use, or needs an image
        that is not on this computer.
    """
    return recorder.open_recording(path, Recording)


def record(
    compose: Path | str,
    path: Path | str | None = None,
    *,
    seed: int = 0,
    duration: Any = 60,
    until: Failure | Query | str | None = None,
    after: Any = 2,
) -> Recording:
    """Run the system of a compose file from power-on and record it.

    It runs for ``duration`` virtual seconds after set-up is complete, or ``after`` seconds more
    than the failure ``until``: ``bp.failure(...)`` or its short form, such as ``"exit:*"`` (exits
    that a fault caused do not count). Equal seeds give equal runs. ``path`` is the directory to
    make (default: ``<name of the system>.branchpoint``). Interrupting keeps what was recorded.
    """
    return recorder.record(
        compose, path, seed=seed, duration=duration, until=until, after=after, kind=Recording
    )
