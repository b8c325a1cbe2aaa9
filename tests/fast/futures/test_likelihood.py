"""Drawing a curve: its parameters, stopping and continuing, and what is shown while it is drawn."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from coinfutures import SYSTEMS, drawn, settings
from likelihoods import END, Drawer, exit_of, recording
from recordings import ORIGIN, SECOND, event

from branchpoint import progress
from branchpoint.errors import BranchpointError, TimeError
from branchpoint.futures import live
from branchpoint.futures.allocation import Settings, Wanted
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Draw
from branchpoint.futures.likelihood import ask, collect
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import NOISE

COINS = SYSTEMS[0]
FAILURE = failure("exit:db.1")
WHOLE = Settings(ORIGIN, END)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.branchpoint"


@pytest.fixture
def run(path: Path) -> Iterator[Recording]:
    events = [exit_of(5, "db.1", asked="1"), event(6), exit_of(20), exit_of(25)]
    with recording(path, events) as run:
        yield run


# -- what is asked


def test_a_curve_ends_before_the_failure(run: Recording) -> None:
    question, wanted = ask(run, FAILURE)
    assert question.failure == "exit of db.1"
    assert (wanted.start, wanted.end) == (ORIGIN, ORIGIN + 20 * SECOND - 1_000_000)
    assert (question.horizon, question.relative) == (ORIGIN + 22 * SECOND, False)
    assert question.noise == NOISE
    _, later = ask(run, FAILURE, start=21, end=run.end)
    assert (later.start, later.end) == (ORIGIN + 21 * SECOND, ORIGIN + 25 * SECOND - 1_000_000)
    _, shorter = ask(run, FAILURE, start=1, end=7.5)
    assert shorter.end == ORIGIN + 7_500_000_000


def test_a_failure_that_did_not_happen_is_looked_for_to_the_end(run: Recording) -> None:
    question, wanted = ask(run, failure("log:db.1:never said"))
    assert wanted.end == END
    assert question.horizon == END + 3 * SECOND


def test_horizons(run: Recording) -> None:
    assert ask(run, FAILURE, horizon=2)[0].horizon_of(7) == 7 + 2 * SECOND
    assert ask(run, FAILURE, horizon="250ms")[0].horizon_of(7) == 7 + SECOND // 4
    assert ask(run, FAILURE, horizon=run.at(29))[0].horizon_of(7) == ORIGIN + 29 * SECOND
    assert ask(run, FAILURE, horizon=run.end)[0].key != ask(run, FAILURE)[0].key


def test_the_same_question_has_the_same_key_whatever_the_curve(run: Recording) -> None:
    key = ask(run, FAILURE)[0].key
    assert ask(run, FAILURE, start=3, end=7, points=5, precision=0.2, seed=4)[0].key == key
    assert ask(run, FAILURE, noise=None)[0].key != key
    assert ask(run, failure("exit:*"))[0].key != key


def test_what_cannot_be_asked(run: Recording) -> None:
    with pytest.raises(BranchpointError, match=r"db.1 happens at 25.000 s"):
        ask(run, FAILURE, start=24.9999)
    with pytest.raises(BranchpointError, match=r"horizon, 7.000 s, is not after the last point"):
        ask(run, FAILURE, horizon=run.at(7))
    with pytest.raises(BranchpointError, match="must be greater than 0"):
        ask(run, FAILURE, horizon=-1)
    with pytest.raises(BranchpointError, match="points"):
        ask(run, FAILURE, points=0)
    with pytest.raises(TimeError):
        ask(run, FAILURE, start=40)


# -- drawing


def test_what_is_drawn_is_kept_and_not_drawn_again(run: Recording, path: Path) -> None:
    question, _ = ask(run, FAILURE)
    pool = Drawer(COINS)
    curve = collect(run, question, WHOLE, pool.open)
    expected, _ = drawn(COINS, settings())
    assert curve.missing == 0
    assert [p.at - ORIGIN for p in curve.points] == expected.points
    assert len(pool.jobs) == len(curve.draws)
    run.close()
    with recording(path, []) as again:
        stored = collect(again, question, WHOLE, pool.open)
    assert stored.draws == curve.draws
    assert (pool.opened, len(pool.jobs)) == (1, len(curve.draws))


def test_stopping_keeps_everything_and_calling_again_goes_on(run: Recording, path: Path) -> None:
    question, _ = ask(run, FAILURE)
    drawn_so_far = 0
    for stop_after in (5, 100, 150):
        pool = Drawer(COINS, stop_after)
        partial = collect(run, question, WHOLE, pool.open)
        drawn_so_far += stop_after
        assert partial.stopped and len(partial.draws) == drawn_so_far
        run.close()
        run = recording(path, [])
    rest = Drawer(COINS)
    curve = collect(run, question, WHOLE, rest.open)
    run.close()
    expected, _ = drawn(COINS, settings())
    assert len(curve.draws) == len(list(expected.used())) == drawn_so_far + len(rest.jobs)


def test_a_recording_that_is_only_read_goes_on_as_well(run: Recording, path: Path) -> None:
    question, _ = ask(run, FAILURE)
    run.close()
    with Recording(RecordingFiles.open(path), lambda: None) as read:  # type: ignore[arg-type,return-value]
        assert collect(read, question, WHOLE, Drawer(COINS, 50).open).stopped
        pool = Drawer(COINS)
        curve = collect(read, question, WHOLE, pool.open)
        assert len(pool.jobs) == len(curve.draws) - 50
    assert not (path / "curves").exists()


def test_curves_with_other_seeds_share_no_future(run: Recording) -> None:
    question, _ = ask(run, FAILURE)
    first = collect(run, question, WHOLE, Drawer(COINS).open)
    second = collect(run, question, Settings(ORIGIN, END, seed=1), Drawer(COINS).open)
    assert {d.seed for d in first.draws}.isdisjoint(d.seed for d in second.draws)
    assert first.frame.failed.tolist() != second.frame.failed.tolist()


# -- showing


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[Curve]]]:
    """The curves shown, by screen; here a screen is never busy."""
    monkeypatch.setattr(live, "_EVERY", 0.0)
    monkeypatch.setattr(live, "_SHARE", 0.0)
    screens: list[list[Curve]] = []

    def begin() -> live.Screen:
        screens.append([])
        return screens[-1].append

    undo = live.use(begin)
    yield screens
    undo()


def test_a_curve_is_shown_while_it_grows(run: Recording, shown: list[list[Curve]]) -> None:
    question, _ = ask(run, FAILURE)
    curve = collect(run, question, WHOLE, Drawer(COINS).open)
    ((*growing, final),) = shown
    assert final is curve
    assert [len(one.draws) for one in growing] == list(range(1, len(curve.draws) + 1))
    assert all(one.missing > 0 for one in growing[:-1])


def test_a_stopped_curve_is_shown_as_it_is(run: Recording, shown: list[list[Curve]]) -> None:
    question, _ = ask(run, FAILURE)
    pool = Drawer(COINS, 40)
    curve = collect(run, question, WHOLE, pool.open)
    assert shown[0][-1] is curve, "the picture and the value are one"
    assert len(curve.draws) == 40
    assert "from 40 futures at" in repr(curve)
    assert "; stopped, about" in repr(curve)


def test_many_workers_ahead_are_in_the_curve_and_in_the_words(
    run: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    """Futures drawn ahead, for points whose turn comes later, were reported but not shown."""
    question, _ = ask(run, FAILURE)
    pool = Drawer(COINS, 140)
    pool.count = 32  # type: ignore[misc]
    curve = collect(run, question, WHOLE, pool.open)
    assert len(curve.draws) == 140
    assert f"stopped with 140 of about {140 + curve.missing} futures" in capsys.readouterr().err
    pool.left = 10**9
    whole = collect(run, question, WHOLE, pool.open)
    expected, _ = drawn(COINS, settings())
    assert len(whole.draws) == len(list(expected.used())), "it is the curve of one worker"
    assert not whole.stopped


def test_an_interrupt_with_nothing_to_show_is_an_interrupt(run: Recording) -> None:
    question, _ = ask(run, FAILURE)
    with pytest.raises(KeyboardInterrupt) as stop:
        collect(run, question, WHOLE, Drawer(COINS, 0).open)
    assert "stopped with 0 of about" in stop.value.__notes__[0]


@pytest.mark.parametrize("error", [RuntimeError, BranchpointError])
def test_an_error_is_no_stop(run: Recording, error: type[Exception]) -> None:
    class Broken(Drawer):
        def run(self, jobs: Iterable[Wanted]) -> Iterator[Draw]:
            yield from super().run(list(jobs)[:3])
            raise error("broken")

    question, _ = ask(run, FAILURE)
    with pytest.raises(error, match="broken"):
        collect(run, question, WHOLE, Broken(COINS).open)


def test_showing_takes_little_of_the_time(run: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """A screen that needs 0.1 s gets a curve every 2 s; a fast one every 0.5 s."""
    clock = 0.0
    monkeypatch.setattr(live.time, "monotonic", lambda: clock)
    for cost, expected in ((0.1, 5), (0.0, 20)):
        at: list[float] = []

        def show(_: Curve, cost: float = cost, at: list[float] = at) -> None:
            nonlocal clock
            at.append(clock)
            clock += cost

        undo = live.use(lambda show=show: show)  # type: ignore[misc]
        showing = live.Showing()
        undo()
        start = clock
        while clock < start + 10:
            showing.offer(lambda: None)  # type: ignore[arg-type,return-value]
            clock += 0.01
        assert abs(len(at) - expected) <= 1
        assert at[0] >= start + 0.49


def test_progress_is_told_before_the_first_future_ends(run: Recording) -> None:
    seen: list[tuple[float, float | None, str]] = []

    class Slow(Drawer):
        def run(self, jobs: Any) -> Any:
            task = progress.current(threading.get_ident())
            assert task is not None
            seen.append((task.done, task.total, task.note))
            progress.tick()
            yield from super().run(jobs)

    question, _ = ask(run, FAILURE)
    collect(run, question, WHOLE, Slow(COINS).open)
    done, total, note = seen[0]
    assert (done, note) == (0, "starting") and total is not None and total > 10


def test_waiting_hears_a_stop() -> None:
    stop = threading.Event()
    with progress.stoppable(stop), progress.task("waits"):
        progress.tick()
        stop.set()
        with pytest.raises(KeyboardInterrupt):
            progress.tick()
    progress.tick()


def test_progress_tells_futures_and_rate(run: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    monkeypatch.setattr(progress, "_REDRAW", 0.0)
    lines: list[str] = []
    undo = progress.use(lambda task, *, final: lines.append(str(task)))
    question, _ = ask(run, FAILURE)
    curve = collect(run, question, WHOLE, Drawer(COINS).open)
    undo()
    count = len(curve.draws)
    assert lines[-1].startswith(f"exit of db.1 · {count}/{count} futures · ")
    assert "/s" in lines[-1]
    assert "left" in lines[count // 2]
