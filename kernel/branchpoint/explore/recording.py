"""The recording that users hold: its one past, and its many futures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from branchpoint.explore.curve import Curve
from branchpoint.explore.likelihood import likelihood
from branchpoint.timeline import record as recorder
from branchpoint.timeline import recording as timeline
from branchpoint.timeline.events import EventSet
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.queries import Query


class Recording(timeline.Recording):
    """A recorded run. Made by ``branchpoint.open(path)`` and ``branchpoint.record(...)``.

    ``run.at(12.5)``, ``run.end``, ``run.failure`` and ``run.moments("exit")`` give moments;
    ``run.events`` everything that was seen.
    """

    def likelihood(
        self,
        failure: Failure | Query | EventSet | str,
        *,
        start: Any = None,
        end: Any = None,
        points: int = 20,
        precision: float = 0.1,
        resolution: Any = 0.25,
        horizon: Any = None,
        workers: int | None = None,
        seed: int = 0,
        noise: Any = True,
    ) -> Curve:
        """How likely a failure was from each instant of the recording.

        From moments between ``start`` (0) and ``end`` (just before the failure happened here, or
        the recording's end), futures are drawn until each share of failing ones is known to
        ``precision`` (half width of the 95 % interval) and the turning point to ``resolution``
        (virtual seconds), at no more than ``points`` moments, placed where the curve turns.

        A future fails when the failure happens by the ``horizon``: an instant (a moment, an
        event), or a length after each fork (seconds, a Time). Without it, it is a bit later than
        the failure happened here. ``noise`` is as for ``moment.branch``. Curves with different
        ``seed`` numbers share no future.

        Futures run in ``workers`` processes, one a core. They are kept with the recording, so
        that drawing the curve again takes no time, and one that was stopped goes on.
        """
        return likelihood(
            self, failure, start=start, end=end, points=points, precision=precision,
            resolution=resolution, horizon=horizon, workers=workers, seed=seed, noise=noise,
        )  # fmt: skip


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
