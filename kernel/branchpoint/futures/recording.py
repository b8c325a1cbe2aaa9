"""The recording that users hold: its one past, and its many futures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from branchpoint.clock import Duration, Instant
from branchpoint.events.event import EventSet
from branchpoint.events.queries import Query
from branchpoint.futures.attribution import Attribution, attribute
from branchpoint.futures.contrast import Contrast
from branchpoint.futures.culprits.culprits import Culprits
from branchpoint.futures.culprits.decisions import Decisions
from branchpoint.futures.culprits.sampling import culprits_off
from branchpoint.futures.culprits.turning import decisions_off
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import questions
from branchpoint.futures.explaining import Explanation, explain, recorded
from branchpoint.futures.likelihood import likelihood
from branchpoint.futures.minimise import minimise
from branchpoint.futures.rarity import Rarity, how_rare
from branchpoint.futures.sample import contrast_off
from branchpoint.futures.what_if import WhatIf, what_if
from branchpoint.system import load, notes
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
    ``run.events`` has everything that was seen.
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

        Futures are drawn from a few moments, spread evenly from ``start`` (default: 0) to ``end``
        (default: just before the failure happened here, or the recording's end), until P(failure)
        is known to ``precision`` at each (half width of the 95 % interval). More are drawn from
        moments between them, until sudden changes of P(failure) are known to ``resolution``
        (virtual seconds). There are at most ``points`` moments in all.

        A future fails when the failure happens by the ``horizon``: an instant (a moment, an event),
        or a length after each fork (seconds, a Time). The default is a bit later than the failure
        happened here. ``noise`` is as for ``moment.branch``. Curves with different ``seed`` numbers
        share no future.

        Futures run in ``workers`` processes (default: one per core), or on the dask.distributed
        cluster whose scheduler has that address (``"tcp://10.0.0.1:8786"``). They are kept with the
        recording, so drawing the same curve again takes no time, and an interrupted one goes on.

        :raises BranchpointError: when no curve can be drawn with these arguments.
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
        by: Literal["events", "code"] = "events",
        futures: int | None = None,
        only: str = "*",
        lines: bool = True,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> Contrast | Culprits:
        """What failing futures from one moment have that passing ones do not have.

        Futures are drawn from the ``moment`` (of the recording or of a branch, or anything that
        :meth:`at` takes), and what happened in them before the failure is compared: faults, exits
        and starts of containers, violated assertions and, unless ``lines`` is False, lines of the
        logs, with all numbers in them replaced by "#". A cause is found when it differs more
        between failing and passing futures than chance makes any cause differ in 5 of 100
        contrasts.

        With ``futures``, exactly so many are drawn. Without it, 40 and then more, until 6 of them
        fail and 6 pass (12 with ``by="code"``), at most 120. If too few fail, it says about how
        many would be enough. ``only`` is a pattern for what to look at: ``"fault *"``,
        ``"log db.1:*"``. The rest is as for :meth:`likelihood`.

        With ``by="code"``, the code that runs in these futures before the failure is compared
        instead, and the result is :class:`Culprits`: lines of Python programs (CPython 3.11 to
        3.13), lines of machine code where the program in the image has debug information, else its
        functions. The programs are as they are: nothing in them is changed. ``only`` is then a
        pattern for source files (or a file, a blank and a function): ``"*/aria/*"``.

        :raises BranchpointError: when ``futures`` is less than 1, or the horizon is not after the
            moment.
        """
        wanted = failure_of(failure)
        how: Any = {"horizon": horizon, "workers": workers, "seed": seed, "noise": noise}
        if by == "code":
            return culprits_off(self, moment, wanted, futures, only=only, **how)
        return contrast_off(self, moment, wanted, futures, only=only, lines=lines, **how)

    def decisions(
        self,
        moment: Instant,
        failure: Failure | Query | EventSet | str,
        *,
        only: str = "*",
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> Decisions:
        """Which conditions of Python programs (3.11 to 3.13) decide that it fails.

        Lines that run where it fails need not be at fault, and a faulty line may run everywhere. So
        this intervenes: each condition of the system's own code that runs between the ``moment``
        and the failure (of ``if``, ``while``, ``and``, ``assert`` and the like) is turned, one at a
        time, in new futures from the moment. In these, the program goes on as if it were false
        where it is true, and true where it is false. Those with which it does not fail any more are
        found, with how often, and what else changes with them.

        Take a moment from which it fails nearly always: ``curve.decisions()`` does. Each condition
        is tried in one future, the best ones in eight or more, so a few hundred conditions take
        minutes. A condition of which the interpreter makes one step with a comparison (between
        numbers or short texts, in 3.11) cannot be turned. ``only`` is a pattern for source files
        (or a file, a blank and a function): ``"*/aria/*"``. The rest is as for :meth:`likelihood`.

        :raises BranchpointError: when the horizon is not after the moment.
        """
        return decisions_off(
            self, moment, failure_of(failure), only=only, horizon=horizon, workers=workers,
            seed=seed, noise=noise,
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
        """How rarely it fails from a moment on: "about 1 in 140 (95 %: 1 in 260 to 1 in 90)".

        Futures are drawn from the ``moment`` (of the recording or of a branch, or anything that
        :meth:`at` takes) until P(failure) is known to about ``precision``, which is a share of P
        itself: 0.5 takes 16 failures, 0.2 takes 97. At most ``futures`` are drawn. When none of
        them fails, the result is a bound that P is below. The rest is as for :meth:`likelihood`.

        :raises BranchpointError: when ``precision`` or ``futures`` is out of bounds, or the horizon
            is not after the moment.
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
        """Which of the faults that happened decide that it fails: each is removed in turn.

        Everything else stays as recorded, and the future without the fault is judged up to the
        ``horizon``: an instant (a moment, an event), or how long after the failure (seconds, a
        Time). The default is a bit later than the failure. Without one fault, a later fault of its
        kind may draw another target: it still happens, but may hit something else.

        With ``seeds``, so many futures are drawn from just after each fault, with it and without
        it, with everything random drawn anew there. That gives how often each of the two fails, and
        an interval of the difference. ``noise`` is as for ``moment.branch``.

        ``of`` is the moment or the branch whose past is looked at, for example a branch with faults
        that you asked for. The default is the recording. Futures run in ``workers`` processes, as
        for :meth:`likelihood`; interrupted, it goes on where it was when called again.

        :raises BranchpointError: when the failure does not happen, or there were no faults.
        """
        return attribute(
            self, failure_of(failure), of=of, seeds=seeds, horizon=horizon, workers=workers,
            noise=noise,
        )  # fmt: skip

    def what_if(
        self,
        moment: Instant,
        failure: Failure | Query | EventSet | str,
        change: Callable[[Branch], Any],
        *,
        futures: int | None = None,
        horizon: Instant | None = None,
        workers: int | str | None = None,
        seed: int = 0,
        noise: Noise = True,
    ) -> WhatIf:
        """How a change at a moment changes P(failure): what a contrast finds is tried out.

        ``change`` is a function that is given a branch from the ``moment`` and does something
        there, once: a command, a fault, a pause. What it gives to the machine is given, at the same
        instants, to futures from there, each with everything random drawn anew; they are compared
        with as many futures without it, with an exact test. For example::

            run.what_if(moment, crash, lambda branch: branch.faults.pause())  # no faults from there

        With ``futures``, so many of each are drawn. Without it, 20 of each and then more, until so
        many fail that it would be seen if the change prevents the failure, at most 120 of each.
        The rest is as for :meth:`contrast`.

        :raises BranchpointError: when the change does nothing, or ``futures`` is less than 1.
        """
        return what_if(
            self, moment, failure_of(failure), change, futures=futures, horizon=horizon,
            workers=workers, seed=seed, noise=noise,
        )  # fmt: skip

    def explain(
        self,
        failure: Failure | Query | EventSet | str | None = None,
        *,
        curve: Curve | None = None,
        decisions: bool = False,
        workers: int | str | None = None,
    ) -> Explanation:
        """Why it failed, in one paragraph, and what that rests on.

        What failed, since when that was likely and what happened then (:meth:`likelihood`), which
        faults decided (:meth:`attribute`), and which code runs in futures that fail and not in
        those that pass (:meth:`contrast` with ``by="code"``). All of it is computed and kept, so
        asking again takes no time. Without a ``failure``, the one that ended the recording is
        explained. A ``curve`` of it that is there already is used; else one is drawn. With
        ``decisions``, it also says which condition of a Python program decides, which takes a few
        minutes more (:meth:`decisions`). Futures run in ``workers`` processes, as for
        :meth:`likelihood`.

        :raises BranchpointError: when the failure does not happen in the recording.
        """
        return explain(
            self, failure_of(failure or recorded(self)), curve=curve, decisions=decisions,
            workers=workers,
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
        """A smallest set of the faults with which it still fails, as a new recording at ``path``.

        Everything else is as recorded, so each set of faults has one future. Faults are removed,
        many at a time and then fewer (delta debugging), until each that is left is needed. The new
        recording (default: next to this one, ``<name>-minimal.branchpoint``) runs from power-on to
        2 s after the failure; inputs in it tell the guest which of its faults to skip. The rest is
        as for :meth:`attribute`.

        :raises RecordingError: when ``path`` exists already.

        :raises BranchpointError: when the failure does not happen, or there were no faults.
        """
        return minimise(
            self, failure_of(failure), path, of=of, horizon=horizon, workers=workers,
            kind=Recording,
        )  # fmt: skip


def open_recording(path: Path | str) -> Recording:
    """Open a recording. Nothing runs until a moment of it is visited.

    A recording that this process has open already is not opened a second time: both openings share
    its emulators, branches and files and are equal; each is closed on its own.

    :raises RecordingError: when it is not a recording, is too damaged to use, or needs an image
        that is not on this computer.
    """
    run = recorder.open_recording(path, Recording)
    questions(run.files)  # so damage of its curves is in its warnings from the beginning
    return run


def record(
    compose: Path | str | Sequence[Path | str],
    path: Path | str | None = None,
    *,
    seed: int = 0,
    duration: Duration = 60,
    until: Failure | Query | str | None = None,
    after: Duration = 2,
    profiles: Iterable[str] | None = None,
    env_files: Sequence[Path | str] | None = None,
    force: bool = False,
) -> Recording:
    """Run the system of a compose file from power-on and record it.

    ``compose`` is a file, a directory that has one, or several files, of which later ones are
    merged over earlier ones; ``profiles`` and ``env_files`` (instead of ``.env``) are as in docker
    compose. It runs for ``duration`` virtual seconds after set-up is complete, or until ``after``
    seconds after the failure ``until``: ``bp.failure(...)`` or its short form, such as ``"exit:*"``
    (exits that a fault caused do not count). Equal seeds give equal runs. ``path`` is the directory
    to make (default: ``<name of the system>.branchpoint``); with ``force`` it replaces a recording
    that is there. Interrupting keeps what was recorded. What the files ask for that has no effect
    is said in a note each.

    :raises ComposeError: when the compose file has something that cannot be done.
    :raises TimeError: when ``duration`` or ``after`` is negative.
    :raises RecordingError: when ``path`` exists already, or the system cannot be set up; then what
        was recorded of it is in ``<path>.failed``, for reading.
    """
    profiles = None if profiles is None else list(profiles)
    notes.say(load(compose, profiles, env_files=env_files))
    return recorder.record(
        compose, path, seed=seed, duration=duration, until=until, after=after, kind=Recording,
        profiles=profiles, env_files=env_files, force=force,
    )  # fmt: skip
