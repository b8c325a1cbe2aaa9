"""The loop that draws a curve: decide which futures, run them, keep them, show them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from branchpoint import progress
from branchpoint.clock import SECOND, Duration, Instant, format_vtime, to_ns
from branchpoint.errors import BranchpointError
from branchpoint.events import naming
from branchpoint.futures import partial
from branchpoint.futures.allocation import Allocation, Settings, Wanted
from branchpoint.futures.curve import Curve
from branchpoint.futures.curves import draws_of
from branchpoint.futures.draws import Draw, Question
from branchpoint.futures.live import Showing
from branchpoint.futures.running.cluster import open_pool
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.failures import failure as failure_of
from branchpoint.timeline.judges import Stretch
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import Noise, noise_of

_BEFORE = 1_000_000  # ns that the last point lies before the failure, which must still be to come
_AHEAD = 16  # futures that each worker gets at once, where so many are needed anyway
_SLACK = (SECOND, 10 * SECOND)  # bounds of how much later than recorded a failure may come


class Pool(Protocol):
    """What runs futures, several at a time."""

    @property
    def count(self) -> int:
        """How many at a time."""

    def run(self, jobs: Iterable[Wanted]) -> Iterator[Draw]:
        """Run futures; each draw is given when it is there, in any order."""


def ask(
    run: Recording,
    failure: Failure,
    *,
    start: Instant | None = None,
    end: Instant | None = None,
    points: int = 32,
    precision: float = 0.1,
    resolution: Duration = 0.25,
    horizon: Instant | None = None,
    seed: int = 0,
    noise: Noise = True,
) -> tuple[Question, Settings]:
    """The question and the curve that a call of ``run.likelihood`` asks for.

    :raises BranchpointError: when no curve can be drawn with these arguments.
    """
    first = (run.start if start is None else run.at_ns(run.at(start).at)).at
    last = (run.end if end is None else run.at_ns(run.at(end).at)).at
    happened = _happened(run.end, failure, first)
    if happened is not None:
        last = min(last, happened - _BEFORE)
    if first >= last:
        raise BranchpointError(
            f"no curve can be drawn from {_s(run, first)} to {_s(run, last)}"
            + (f": {failure.name} happens at {_s(run, happened)}" if happened else ""),
            "give an earlier start=",
        )
    question = _question(run, failure, last, _horizon(run.end, horizon, happened), noise)
    return question, Settings(first, last, points, precision, to_ns(resolution), seed)


def question_of(
    until: Moment, failure: Failure, at: int, horizon: Instant | None, noise: Noise
) -> tuple[Question, int | None]:
    """The question about futures from ``at`` (absolute ns) of the timeline that ends at ``until``.

    And the instant after ``at`` at which the failure happened in it; None: it did not happen.
    """
    happened = _happened(until, failure, at)
    question = _question(until.run, failure, at, _horizon(until, horizon, happened), noise)
    return question, happened


def _question(
    run: Recording, failure: Failure, last: int, horizon: tuple[int, bool], noise: Noise
) -> Question:
    naming.check(failure, run.manifest.containers)
    question = Question(
        failure=failure.name,
        failure_key=failure.key,
        horizon=horizon[0],
        relative=horizon[1],
        noise=noise_of(noise),
    )
    if question.horizon_of(last) <= last:
        raise BranchpointError(
            f"the horizon, {_s(run, horizon[0])}, is not after the last point, {_s(run, last)}",
            "give a later horizon=, or a length such as horizon=10",
        )
    return question


def _s(run: Recording, at: int) -> str:
    return f"{format_vtime(at - run.origin)} s"


def _happened(until: Moment, failure: Failure, start: int) -> int | None:
    """The instant after ``start`` at which the failure happened in the timeline of ``until``."""
    begin, origin = until.rewind(nanoseconds=until.at - start), until.run.origin
    judge = failure.judge(Stretch(start, until.at, origin, begin.events.columns))
    judge.feed(until.events.after(begin))
    return judge.settle(until.at)


def _horizon(until: Moment, horizon: Instant | None, happened: int | None) -> tuple[int, bool]:
    """The horizon: absolute ns and False, or ns after the fork and True.

    One instant for all futures makes the curve a martingale: it moves where something is decided,
    and nowhere else.
    """
    if horizon is None:
        end = until.at if happened is None else happened
        return end + min(max((end - until.run.origin) // 10, _SLACK[0]), _SLACK[1]), False
    at = getattr(horizon, "at", None)
    if isinstance(at, int):
        return at, False
    length = to_ns(horizon)
    if length <= 0:
        raise BranchpointError(f"horizon={horizon!r}: a length must be greater than 0")
    return length, True


def collect(
    run: Recording,
    question: Question,
    settings: Settings,
    open_pool: Callable[[], AbstractContextManager[Pool]],
    wanted: Failure | None = None,
) -> Curve:
    """Draw what is still missing of a curve. What is drawn is kept, even after an error.

    When interrupted, it returns the curve as far as it is drawn. ``open_pool`` is only called when
    something is missing. ``wanted`` is the failure that the question is about, if it is at hand.

    :raises KeyboardInterrupt: when it is interrupted before there is anything to show.
    """
    draws = draws_of(run, question)
    allocation = Allocation(settings, draws.get)

    def curve(*, stopped: bool = False) -> Curve:
        used = list(allocation.used())
        draws.ask(used)
        span = (settings.start, settings.end)
        missing = allocation.missing()
        return Curve(
            run, question, span, used, missing, settings.precision, failure=wanted, stopped=stopped
        )

    showing = Showing()
    try:
        if jobs := allocation.jobs():
            begun = sum(1 for _ in allocation.used())
            with (
                open_pool() as pool,
                progress.task(question.failure, unit="futures", begun=begun) as task,
            ):
                task.total = begun + allocation.missing()
                task.update(begun, "starting")
                while jobs := allocation.jobs(_AHEAD * pool.count):
                    draws.refresh()  # another process may draw the same
                    for draw in pool.run([job for job in jobs if draws.get(*job) is None]):
                        draws.add(draw)
                        done = task.done + 1
                        task.total = done + allocation.missing()
                        task.update(done, f"{(done - begun) / max(task.elapsed, 1e-3):.1f}/s")
                        showing.offer(curve)
                task.total = task.done
    except KeyboardInterrupt as stop:
        final = curve(stopped=True)
        partial.give(stop, len(final.draws), len(final.draws) + final.missing)
    except BaseException:
        showing.finish(curve(stopped=True))
        raise
    else:
        final = curve()
    showing.finish(final)
    return final


def likelihood(
    run: Recording, what: Any, *, workers: int | str | None = None, **asked: Any
) -> Curve:
    """Draw the curve of ``run.likelihood(what)``; ``asked`` is as for :func:`ask`."""
    failure = failure_of(what)
    question, settings = ask(run, failure, **asked)

    def workers_for_it() -> Any:
        return open_pool(
            run,
            failure,
            question.horizon,
            relative=question.relative,
            noise=question.noise,
            workers=workers,
        )

    return collect(run, question, settings, workers_for_it, failure)
