"""Who had the processor, in the picture of a timeline."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from likelihoods import recording
from PIL import Image
from recordings import ORIGIN, SECOND, event

import branchpoint as bp
from branchpoint.events.event import EventLog
from branchpoint.sharing.report import picture
from branchpoint.sharing.report.lanes import Lanes
from branchpoint.sharing.report.processor import Processor
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.schedule import Schedule, Slice

NAMES = ("db.1", "web.1", "")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    path = tmp_path_factory.mktemp("processor") / "run.branchpoint"
    with recording(path, [event(1), event(29)]) as made:
        yield made


def lanes() -> Lanes:
    log = EventLog()
    log.extend([event(1)])
    return Lanes(log.columns(), ["db.1", "web.1"], ORIGIN)


def schedule(run: Recording, turns: list[tuple[int, int, str]]) -> Schedule:
    """Turns by their first and last instant in ns since vtime 0, and their container."""
    slices = [Slice(ORIGIN + a, ORIGIN + b, n, 1, "sh", who) for n, (a, b, who) in enumerate(turns)]
    return Schedule(run.at(0), run.at(1), slices, whole=True)


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 200), st.sampled_from(NAMES)), max_size=30
    ),
    window=st.tuples(st.integers(0, 3000), st.integers(1, 3000)),
    count=st.integers(1, 40),
)
def test_shares_are_those_of_each_ns(
    run: Recording, steps: list[tuple[int, int, str]], window: tuple[int, int], count: int
) -> None:
    turns, at = [], 0
    for idle, length, who in steps:
        turns.append((at + idle, at + idle + length, who))
        at += idle + length
    start = window[0]
    end = start + window[1] * count  # columns of whole ns
    had = np.zeros((3, end), bool)
    for first, last, who in turns:
        had[NAMES.index(who), first:last] = True
    expected = had[:, start:end].reshape(3, count, window[1]).mean(axis=2)
    told = Processor(lanes(), schedule(run, turns)).shares(ORIGIN + start, ORIGIN + end, count)
    found = np.frombuffer(told, np.uint8).reshape(3, count)
    assert np.all((found > 0) == (expected > 0))
    assert np.abs(found / 255 - expected).max() <= 1 / 255 + 1e-6


def test_turns_wider_than_a_column_are_named_and_cut_at_the_edges(run: Recording) -> None:
    told = schedule(run, [(0, 500, "db.1"), (600, 610, "db.1"), (700, 2000, "web.1")])
    spans = Processor(lanes(), told).turns(ORIGIN + 100, ORIGIN + 1100, 20)
    assert [(s.lane, s.start, s.end) for s in spans] == [(0, 0, 8), (1, 12, 20)]
    assert spans[1].what == "sh (thread 2) for 0.001 ms"


def test_of_too_many_turns_the_longest_are_named(run: Recording) -> None:
    many = [(n * 100, n * 100 + (90 if n % 2 else 60), "") for n in range(1500)]
    spans = Processor(lanes(), schedule(run, many)).turns(ORIGIN, ORIGIN + 150_000, 4000)
    assert len(spans) == 1000 and {span.lane for span in spans} == {2}
    assert sum(span.end - span.start > 2 for span in spans) == 750
    assert [span.start for span in spans] == sorted(span.start for span in spans)


def test_the_still_picture_is_tinted_and_says_why(run: Recording) -> None:
    told = Processor(lanes(), schedule(run, [(0, 15 * SECOND, "web.1")]))
    end = ORIGIN + 30 * SECOND
    blue = []
    for processor in (None, told):
        data = picture.png(lanes(), ORIGIN, end, processor=processor)
        pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"), int)
        blue.append(np.argwhere(pixels[..., 2] - pixels[..., 0] > 60))
    assert not len(blue[0])
    left, right = blue[1][:, 1].min(), blue[1][:, 1].max()
    assert 0.49 < (right - left) / (picture._WIDE * pixels.shape[1]) < 0.51
    assert "processor" in picture.legend(lanes(), ORIGIN, end, processor=told)
    assert "processor" not in picture.legend(lanes(), ORIGIN, end)


def test_the_view_follows_what_is_visible(run: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def follow(start: bp.Moment, end: bp.Moment) -> Schedule:
        asked.append((start.vtime, end.vtime))
        return schedule(run, [(12 * SECOND, 13 * SECOND, "db.1")])

    monkeypatch.setattr(import_module("branchpoint.views.timeline"), "schedule", follow)
    view = run.timeline()
    assert view.schedule is None and view.picture["ran"] == b""
    with pytest.raises(bp.BranchpointError, match=r"30\.000 s are visible"):
        view.show_schedule()
    view.zoom(11, 14).show_schedule()
    assert [tuple(map(float, each)) for each in asked] == [(11, 14)] and view.schedule is not None
    rows = np.frombuffer(view.picture["ran"], np.uint8).reshape(len(view.state["lanes"]), -1)
    assert rows.any(axis=1).tolist() == [True, False]
    view.zoom(20, 21)
    assert not any(view.picture["ran"]) and not view.picture["turns"]
    assert "blue: has the processor" in view._fallback_html()
