"""The recording that users hold: its one past, and its many futures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from branchpoint.clock import Duration, Instant
from branchpoint.events.event import EventSet
from branchpoint.events.queries import Query
from branchpoint.explore.attribution import Attribution, attribute
from branchpoint.explore.contrast import Contrast
from branchpoint.explore.curve import Curve
from branchpoint.explore.draws import questions
from branchpoint.explore.likelihood import likelihood
from branchpoint.explore.minimise import minimise
from branchpoint.explore.rarity import Rarity, how_rare
from branchpoint.explore.sample import contrast_off
from branchpoint.timeline import recording as timeline
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.failures import failure as failure_of
from branchpoint.timeline.recorder import record as recorder
from branchpoint.timeline.seeds import Noise

if TYPE_CHECKING:
    from branchpoint.timeline.branch import Branch
    from branchpoint.timeline.moment import Moment


class Recording(timeline.Recording):
    """A recorded run. Made by ``branchpoint.open(path)`` and ``branchpoint.record(...)``.

    ``run.at(12.5)``, ``run.end``, ``run.failure`` and ``run.moments("exit")`` give moments;
    ``run.events`` everything that was seen.
    """

    def likelihood(
        self,
        failure: Failure | Query | EventSet | str,
        *,
        start: Instant | None = None,
        end: Instant | None = None,
        points: int = 32,
        precision: float = 0.1,
        resolution: Duration = 0.25,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> Curve:
        """How likely a failure was from each instant of the recording.

        Futures are drawn off a few moments, evenly from ``start`` (0) to ``end`` (just before the
        failure happened here, or the recording's end), until P(failure) is known to ``precision``
        at each (half width of the 95 % interval), and off moments between them, until sudden
        changes of P(failure) are known to ``resolution`` (virtual seconds); at no more than
        ``points`` moments in all.

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
        moment: Instant,
        failure: Failure | Query | EventSet | str,
        *,
        futures: int | None = None,
        only: str = "*",
        lines: bool = True,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> Contrast:
        """What failing futures off one moment have that passing ones have not.

        Futures are drawn off the ``moment`` (of the recording or of a branch, or anything that
        :meth:`at` takes), and what happened in them before the failure is compared: faults, ends
        and starts of containers, violated assertions and, unless ``lines`` is False, lines of the
        logs, with all numbers in them replaced by "#". Those causes are found that differ more
        between failing and passing futures than chance makes any of them differ in 5 of 100
        contrasts.

        With ``futures``, exactly so many are drawn. Without it, 40 and then more, until 6 of them
        fail and 6 pass, at most 120. Where too few fail, it says about how many would do.
        ``only`` is a pattern for what to look at: ``"fault *"``, ``"log db.1:*"``. The rest is as
        for :meth:`likelihood`.
        """
        return contrast_off(
            self, moment, failure_of(failure), futures, only=only, lines=lines,
            horizon=horizon, workers=workers, seed=seed, noise=noise,
        )  # fmt: skip

    def how_rare(
        self,
        failure: Failure | Query | EventSet | str,
        moment: Instant = 0,
        *,
        precision: float = 0.5,
        futures: int = 1000,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> Rarity:
        """How rarely it fails from a moment on: "1 in 140 futures (95 %: 1 in 90 to 1 in 260)".

        Futures are drawn off the ``moment`` (of the recording or of a branch, or anything that
        :meth:`at` takes) until P(failure) is known to about ``precision``, which is a share of P
        itself: 0.5 takes 16 failures, 0.2 takes 97; at most so many ``futures``. When none of them
        fails, it says what P is below. The rest is as for :meth:`likelihood`.
        """
        return how_rare(
            self, failure_of(failure), moment, precision=precision, futures=futures,
            horizon=horizon, workers=workers, seed=seed, noise=noise,
        )  # fmt: skip

    def attribute(
        self,
        failure: Failure | Query | EventSet | str,
        *,
        of: Moment | Branch | None = None,
        seeds: int = 0,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        noise: Noise = True,
    ) -> Attribution:
        """Which of the faults that happened decide that it fails: each is taken away in turn.

        All else stays as recorded, and the future without the fault is judged up to the
        ``horizon``: an instant (a moment, an event), or how long after the failure (seconds, a
        Time); without it, a bit later than the failure. One fault that did not happen may leave
        the target of a later one of its kind to another draw; such a fault happens all the same,
        but may hit something else.

        With ``seeds``, so many futures are drawn from just after each fault, with it and without
        it, everything random drawn anew there: that gives how often it fails with either, and an
        interval of the difference. ``noise`` is as for ``moment.branch``.

        ``of`` is the moment or the branch whose past is looked at: with faults asked for there,
        for example. Without it, the recording. Futures run in ``workers`` processes, as for
        :meth:`likelihood`; interrupted, it goes on where it was when called again.

        :raises BranchpointError: when the failure does not happen, or there were no faults.
        """
        return attribute(
            self, failure_of(failure), of=of, seeds=seeds, horizon=horizon, workers=workers,
            noise=noise,
        )  # fmt: skip

    def minimise(
        self,
        failure: Failure | Query | EventSet | str,
        path: Path | str | None = None,
        *,
        of: Moment | Branch | None = None,
        horizon: Instant | None = None,
        workers: int | str | None = None,
    ) -> Recording:
        """A smallest set of the faults that still fails, as a new recording at ``path``.

        All else is as recorded, so each set of faults has one future. Faults are taken away,
        many at a time and then fewer (delta debugging), until each that is left is needed. The
        new recording (default: next to this one, ``<name>-minimal.branchpoint``) runs from
        power-on to 2 s after the failure; the faults that do not happen in it are inputs that
        tell the guest so. The rest is as for :meth:`attribute`.

        :raises BranchpointError: when the failure does not happen, or there were no faults.
        """
        return minimise(
            self, failure_of(failure), path, of=of, horizon=horizon, workers=workers,
            kind=Recording,
        )  # fmt: skip


def open_recording(path: Path | str) -> Recording:
    """Open a recording. Nothing runs until a moment of it is visited.

    One that this process has open already is not opened a second time: both openings share its
    emulators, branches and files, are equal, and are closed each by itself.

    :raises RecordingError: when it is not a recording, is damaged beyond use, or needs an image
        that is not on this computer.
    """
    run = recorder.open_recording(path, Recording)
    questions(run.files)  # what is damaged of its curves is in its warnings from the beginning
    return run


def record(
    compose: Path | str,
    path: Path | str | None = None,
    *,
    seed: int = 0,
    duration: Duration = 60,
    until: Failure | Query | str | None = None,
    after: Duration = 2,
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
