"""Curves: their text, their tables and their pictures."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from coinfutures import SYSTEMS, Known, drawn, settings
from likelihoods import END, exit_of, moved, recording
from matplotlib.figure import Figure
from recordings import ORIGIN, SECOND, event

from branchpoint.errors import BranchpointError
from branchpoint.futures import plot
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Draw, Question
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import NOISE

QUESTION = Question(failure="exit of db.1", failure_key="ab", horizon=END + SECOND, noise=NOISE)


def fault(id: str, start: float, end: float, type: str = "kill", target: str = "db.1") -> list[Any]:
    """The two events of a fault."""
    fields = {"id": id, "type": type, "target": target}
    return [
        event(start, type="fault.start", source="life", container="", text="", fields=fields),
        event(end, type="fault.end", source="life", container="", text="", fields=fields),
    ]


START, HEALED = fault("1", 20.1, 21)
EVENTS = [START, exit_of(20.2, "db.1", asked="1"), HEALED, event(25), exit_of(29.5, "a.1")]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", EVENTS) as run:
        yield run


@functools.cache
def draws_of(system: Known) -> list[Draw]:
    """A whole curve of a known system, as if it came from a recording."""
    allocation, _ = drawn(system, settings())
    return [moved(draw) for draw in allocation.used()]


def curve_of(run: Recording, system: Known = SYSTEMS[0], **changes: Any) -> Curve:
    return Curve(run, QUESTION, (ORIGIN, END), changes.pop("draws", draws_of(system)), **changes)


# -- what it says


def test_the_turning_point_is_an_instant_a_moment_and_events(run: Recording) -> None:
    curve = curve_of(run)
    turning = curve.turning_point
    assert turning
    assert turning.vtime == pytest.approx(20.1, abs=0.3)
    assert turning.interval[0] <= 20.1 <= turning.interval[1]
    assert turning.moment.vtime == turning.vtime
    assert (turning.before, turning.after) == pytest.approx((0.5, 1), abs=0.08)
    assert turning.events[0].type == "fault.start"
    assert repr(turning).startswith("P(failure) 0.5")
    assert [round(step.vtime) for step in curve.steps] == [10, 20]
    assert [e.type for e in curve.around(1.2)] == ["fault.start", "container.exit", "fault.end"]
    assert curve.around(seconds=0).map(str) == turning.events.map(str)


def test_a_flat_curve_says_so(run: Recording) -> None:
    curve = curve_of(run, Known("flat", lambda t: 0.5, 0))
    assert not curve.turning_point
    assert repr(curve.turning_point).startswith("no turning point: no change of P(failure) is seen")
    assert curve.steps == []
    assert len(curve.around()) == len(EVENTS)
    with pytest.raises(BranchpointError, match="no turning point"):
        _ = curve.turning_point.vtime


def test_the_frame_has_a_row_a_point(run: Recording) -> None:
    curve = curve_of(run)
    frame = curve.frame
    assert list(frame) == [
        "vtime", "n", "failed", "p", "low", "high", "censored", "identical", "all_low", "all_high",
        "futures",
    ]  # fmt: skip
    assert frame.vtime.is_monotonic_increasing
    assert frame.futures.sum() == len(curve.draws) == len(curve.branches)
    assert (frame.n <= frame.futures).all()
    assert (((frame.high - frame.low) / 2 <= 0.1).sum()) >= 8
    assert (frame.all_low <= frame.low).all()
    assert (frame.low <= frame.p).all()
    assert (frame.p <= frame.high).all()
    assert (frame.high <= frame.all_high).all()


def test_p_is_told_by_the_beginning_of_a_point(run: Recording) -> None:
    """Later futures are there because of how those ended; they count for changes alone."""
    draws = [
        Draw(at=ORIGIN, seed=s, verdict="passed" if s < 20 else "failed", end=END,
             failed_at=None if s < 20 else END)
        for s in range(60)
    ]  # fmt: skip
    curve = curve_of(run, draws=draws)
    row = curve.frame.iloc[0]
    assert (row.n, row.failed, row.futures) == (20, 0, 60)
    assert (row.p, row.low) == (0, 0)
    assert row.high < 0.2
    assert curve_of(run, draws=draws[:20]).frame.high[0] == row.high


def test_branches_have_ids_that_make_them_again(run: Recording) -> None:
    curve = curve_of(run)
    row = curve.branches.iloc[0]
    draw = curve.draws[0]
    assert row.id == f"0.000~{draw.seed}@{(draw.end - ORIGIN) / 1e9:.3f}"
    failed = curve.branches[curve.branches.verdict == "failed"]
    assert (failed.after == 1).all()
    assert curve.branches[curve.branches.verdict == "passed"].after.isna().all()
    quiet = msgspec.structs.replace(QUESTION, noise=None)
    assert set(Curve(run, quiet, curve.span, curve.draws).branches.id) == {""}


def test_censored_futures_are_told_and_may_have_failed_or_not(run: Recording) -> None:
    draws = [
        Draw(at=ORIGIN, seed=0, verdict="censored", end=ORIGIN + 5),
        Draw(at=ORIGIN + SECOND, seed=0, verdict="passed", end=END),
        Draw(at=ORIGIN + SECOND, seed=1, verdict="censored", end=END - 1),
    ]
    curve = curve_of(run, draws=draws)
    assert list(curve.frame.n) == [0, 1]
    assert list(curve.frame.censored) == [1, 1]
    assert math.isnan(curve.frame.p[0])
    assert (curve.frame.low[0], curve.frame.high[0]) == (0, 1)
    assert "2 futures ended early and may have failed or not" in repr(curve)
    assert plot.png(curve)
    half = [Draw(at=ORIGIN, seed=s, verdict="censored" if s % 2 else "passed", end=END - 1)
            for s in range(200)]  # fmt: skip
    (point,) = curve_of(run, draws=half).points
    assert point.interval[0] == 0
    assert 0.5 < point.interval[1] < 0.7


def test_where_nothing_changes_the_interval_holds_whatever_lost_futures_were(
    run: Recording,
) -> None:
    draws = [
        Draw(at=ORIGIN + point * SECOND, seed=s, verdict="censored" if s % 2 else "passed", end=END)
        for point in range(4)
        for s in range(50)
    ]
    words = curve_of(run, draws=draws)._no_change()
    assert words == "no change of P(failure) is seen: 0 to 0.57 all along"


def test_a_gradual_change_is_no_moment(run: Recording) -> None:
    curve = curve_of(run, Known("hazard", lambda t: 1 - 2.7 ** (-0.08 * (30 - t)), 0))
    assert not curve.turning_point
    assert all(step.gradual for step in curve.steps)
    assert curve.steps[0].interval[1] - curve.steps[0].interval[0] > 7
    assert "not at once" in repr(curve)
    with pytest.raises(BranchpointError, match="changes over a while"):
        _ = curve.steps[0].moment


def test_an_unfinished_curve_names_no_instant(run: Recording) -> None:
    early = [draw for draw in draws_of(SYSTEMS[0]) if draw.seed < 16]
    words = repr(curve_of(run, draws=early, missing=300))
    assert "about 300 futures to come" in words
    assert "so far somewhere within" in words
    assert "no change of P(failure) is seen so far" in repr(
        curve_of(run, draws=early[:20], missing=300)
    )


def test_equal_courses_are_counted(run: Recording) -> None:
    same = [
        Draw(at=ORIGIN, seed=s, verdict="passed", end=END, course="ab" if s < 9 else f"{s:02d}")
        for s in range(12)
    ]
    curve = curve_of(run, draws=same)
    assert curve.identical == curve.frame.identical[0] == 0.75


def test_contrast_is_of_the_last_undecided_moment(run: Recording) -> None:
    curve = curve_of(run)
    found = curve.contrast()
    assert found.rows[0].cause == "exit db.1 1"
    at = float(found.about.split()[2])
    assert 19 < at <= 20.1
    assert curve.contrast(0).about.startswith("futures from 0.000 s")
    assert curve.contrast(run.at(0.1)).about.startswith("futures from 0.000 s")
    with pytest.raises(BranchpointError, match="no futures yet"):
        curve_of(run, draws=[]).contrast()


# -- how it looks


def test_a_curve_is_a_small_picture_and_words(run: Recording) -> None:
    data, metadata = curve_of(run)._repr_mimebundle_()
    assert set(data) == {"image/png", "text/plain"}
    assert sum(map(len, data.values())) < 60_000
    assert metadata["image/png"]["width"] <= 800
    assert metadata["needs_background"] == "light"
    assert metadata["image/png"]["alt"].startswith("Curve of P(exit of db.1) from ")
    assert "P(failure) 0." in data["text/plain"]
    assert len(data["text/plain"].splitlines()) <= 25


def test_equal_curves_are_equal_bytes(run: Recording) -> None:
    first, second = (curve_of(run)._repr_png_() for _ in range(2))
    assert first == second
    assert b"Matplotlib" not in first
    assert b"tEXt" not in first


def test_the_plot_is_a_figure_that_shows_itself(run: Recording, tmp_path: Path) -> None:
    figure = curve_of(run).plot()
    figure.savefig(tmp_path / "curve.pdf")
    assert (tmp_path / "curve.pdf").stat().st_size < 60_000
    assert figure._repr_png_()[0].startswith(b"\x89PNG")
    mine = Figure()
    ax = mine.add_subplot()
    assert curve_of(run).plot(ax) is mine
    assert "virtual time (s)" in ax.get_xlabel()


def test_no_global_state_of_matplotlib_is_touched() -> None:
    code = "import branchpoint.futures.plot, sys; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def labels(figure: Figure) -> dict[str, Any]:
    """The labels of events, and their boxes in pixels."""
    figure.draw_without_rendering()
    return {
        text.get_text(): text.get_window_extent()
        for text in figure.axes[0].texts
        if "without a name" not in text.get_text()
    }


def test_faults_and_exits_stand_on_the_time_axis(run: Recording) -> None:
    assert list(labels(curve_of(run).plot())) == ["exit a.1 (1)", "kill db.1"]


def test_the_failure_itself_is_on_the_plot(tmp_path: Path) -> None:
    """The curve ends just before the failure."""
    asked = exit_of(4, "db.1", asked="1", code="137", signal="9")
    with recording(tmp_path / "run.branchpoint", [asked, exit_of(20)]) as run:
        curve = Curve(run, QUESTION, (ORIGIN, ORIGIN + 20 * SECOND - 1), draws_of(SYSTEMS[0]))
        assert list(labels(curve.plot())) == ["exit db.1 (1)", "exit db.1 (signal 9)"]


def test_labels_do_not_overlap_and_stay_inside(run: Recording, tmp_path: Path) -> None:
    many = [
        e
        for n in range(40)
        for e in fault(str(n), 0.7 * n, 0.7 * n + n % 5, "latency", f"a-long-name-{n}.1")
    ]
    many = sorted([*many, exit_of(29.9, "x" * 150)], key=lambda e: e.at)
    with recording(tmp_path / "busy.branchpoint", many) as busy:
        figure = curve_of(busy).plot()
        boxes = list(labels(figure).values())
        assert len(boxes) >= 5
        for number, box in enumerate(boxes):
            assert 0 <= box.x0 <= box.x1 <= figure.bbox.width
            assert not any(box.overlaps(other) for other in boxes[:number])
        assert any("more events are marked" in t.get_text() for t in figure.axes[0].texts)
        assert len(plot.png(curve_of(busy))[0]) < 45_000


def test_text_of_strangers_is_only_text(run: Recording) -> None:
    wild = msgspec.structs.replace(QUESTION, failure="$\\frac{ \x1b[31m<b>日本語" + "x" * 3000)
    curve = curve_of(run)
    assert plot.png(Curve(run, wild, curve.span, curve.draws))


def test_a_curve_without_futures_can_be_shown(run: Recording) -> None:
    curve = curve_of(run, draws=[], missing=112)
    assert "nothing is known yet" in repr(curve)
    assert "about 112 futures to come" in repr(curve)
    assert plot.png(curve)
