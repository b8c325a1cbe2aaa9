"""The recording that users hold: its one past, and its many futures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from branchpoint.explore.contrast import Contrast, contrast
from branchpoint.explore.curve import Curve
from branchpoint.explore.interventions import Attribution, attribution, minimise
from branchpoint.explore.likelihood import likelihood
from branchpoint.explore.sample import sample
from branchpoint.timeline import record as recorder
from branchpoint.timeline import recording as timeline
from branchpoint.timeline.events import EventSet
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.failures import failure as failure_of
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
        workers: int | str | None = None,
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

        Futures run in ``workers`` processes, one a core, or on the dask.distributed cluster whose
        scheduler has that address (``"tcp://10.0.0.1:8786"``). They are kept with the recording,
        so that drawing the curve again takes no time, and one that was stopped goes on.
        """
        return likelihood(
            self, failure, start=start, end=end, points=points, precision=precision,
            resolution=resolution, horizon=horizon, workers=workers, seed=seed, noise=noise,
        )  # fmt: skip

    def contrast(
        self,
        moment: Any,
        failure: Failure | Query | EventSet | str,
        *,
        futures: int = 100,
        only: str = "*",
        horizon: Any = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Any = True,
    ) -> Contrast:
        """What failing futures off one moment have that passing ones have not.

        So many ``futures`` are drawn (those of a curve are used again) and their events compared:
        faults, ends and starts of containers, violated assertions, each with the difference of
        its shares and an interval. ``only`` is a pattern for what to look at: ``"fault *"``. The
        rest is as for :meth:`likelihood`.
        """
        what, here = failure_of(failure), self.at(moment)
        draws = sample(
            self, here, what, futures,
            horizon=horizon, workers=workers, seed=seed, noise=noise,
        )  # fmt: skip
        return contrast(draws, f"{what.name}: futures from {here}", only)

    def attribution(
        self,
        failure: Failure | Query | EventSet | str,
        *,
        variants: int = 20,
        horizon: Any = None,
        workers: int | str | None = None,
    ) -> Attribution:
        """Which of the recorded faults decide that it fails: each is removed in turn.

        For each fault, the future from just before it is run in so many ``variants``, with it and
        without it, all other faults as recorded; variants differ by scheduling noise alone.
        ``horizon`` and ``workers`` are as for :meth:`likelihood`.
        """
        return attribution(self, failure_of(failure), variants, horizon, workers)

    def minimise(
        self,
        failure: Failure | Query | EventSet | str,
        path: Path | str,
        *,
        horizon: Any = None,
        workers: int | str | None = None,
    ) -> Recording:
        """The smallest set of the recorded faults that still fails, as a new recording at ``path``.

        All else is as recorded, so each set of faults has one future. Sets are tried from the
        smallest on; where these are too many, faults are taken away one by one until each that is
        left is needed.

        :raises BranchpointError: when the failure does not happen, or there are no faults.
        """
        return minimise(self, failure_of(failure), path, horizon, workers, Recording)


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
