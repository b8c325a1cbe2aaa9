"""The timeline without a browser: the data of its picture, and the result of a click in it."""

from __future__ import annotations

import json
import re
import time
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from likelihoods import END, Drawer, exit_of, recording
from manyevents import many
from numpy.typing import NDArray
from PIL import Image
from recordings import ORIGIN, SECOND, event

from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.futures.allocation import Settings
from branchpoint.futures.curve import Curve
from branchpoint.futures.draws import Draw
from branchpoint.futures.likelihood import ask, collect
from branchpoint.sharing.report import picture
from branchpoint.sharing.report.lanes import Lanes
from branchpoint.timeline.failures import failure
from branchpoint.timeline.recording import Recording
from branchpoint.views.timeline import TimelineView
from branchpoint.views.view import LARGEST, STATIC

KILL = {"id": "1", "type": "kill", "target": "db.1"}
EVENTS = [
    event(0, "pid=2", source="life", stream="", type="container.start"),
    event(1, "ready"),
    event(9.999, "going down", stream="err"),
    event(10, "kill db.1: for 5 s", source="fault", stream="", type="fault.start", fields=KILL),
    exit_of(10.000001, asked="1", signal="9"),
    event(15, "kill db.1", source="fault", stream="", type="fault.end", fields=KILL),
    event(15.1, "pid=9", source="life", stream="", type="container.start"),
    exit_of(29.5),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", EVENTS) as made:
        yield made


def lanes_of(events: list[Event]) -> Lanes:
    log = EventLog()
    log.extend(events)
    return Lanes(log.columns(), ["db.1", "web.1"], ORIGIN)


def whole(lanes: Lanes, what: str, columns: int = 30) -> Any:
    """What there is in 30 seconds, one column per second."""
    return getattr(lanes, what)(ORIGIN, END, columns)


# -- the picture


def test_lines_are_counted_by_lane_and_column() -> None:
    lines = [event(3.5, stream="err"), *(event(7.1) for _ in range(4))]
    lanes = lanes_of([*lines, event(7.2, container="", source="kernel")])
    assert lanes.names == ["db.1", "web.1", "(guest)"]
    every, errors = whole(lanes, "lines")
    assert {n: level for n, level in enumerate(every) if level} == {3: 128, 7: 255, 67: 128}
    assert {n: level for n, level in enumerate(errors) if level} == {3: 128}


def test_the_kernels_boot_does_not_dwarf_the_containers() -> None:
    boot = [event(0.1, container="", source="kernel") for _ in range(1000)]
    every, _ = whole(lanes_of([*boot, event(3)]), "lines")
    assert every[3] == 255 and every[60] == 255


def test_states_last_until_the_next_one() -> None:
    spans = [span for span in whole(lanes_of(EVENTS), "states") if span.lane == 0]
    assert [span.what for span in spans] == ["running", "exited", "running", "exited"]
    assert [round(span.start, 1) for span in spans] == [0, 10, 15.1, 29.5]
    assert [round(span.end, 1) for span in spans] == [10, 15.1, 29.5, 30]
    (inside,) = lanes_of(EVENTS).states(ORIGIN + 11 * SECOND, ORIGIN + 12 * SECOND, 10)
    assert (inside.start, inside.end, inside.what) == (0, 10, "exited")


def test_a_fault_lasts_from_its_start_to_its_end() -> None:
    (span,) = whole(lanes_of(EVENTS), "faults")
    assert (span.lane, span.start, span.end) == (0, 10, 15)
    assert "kill db.1" in span.what
    endless = lanes_of([e for e in EVENTS if e.type != "fault.end"])
    assert whole(endless, "faults")[0].end == 29.5


def test_the_worst_mark_stands_for_its_column_and_a_fault_beside_it() -> None:
    marks = whole(lanes_of(EVENTS), "marks")
    assert [(m.column, m.kind, m.number) for m in marks] == [
        (0, "start", 1), (10, "exit", 1), (10, "fault", 1), (15, "start", 1), (15, "fault", 1),
        (29, "exit", 1),
    ]  # fmt: skip
    assert marks[-1].at == 29.5 * SECOND and "db.1 exit" in marks[-1].text
    closer = lanes_of(EVENTS).marks(ORIGIN + 10 * SECOND, ORIGIN + 10 * SECOND + 2000, 100)
    assert [(m.column, m.kind) for m in closer] == [(0, "fault"), (50, "exit")]


def test_the_still_picture_shows_a_fault_and_the_exit_that_it_caused_at_their_instants() -> None:
    def places(events: list[Event], sign: str) -> NDArray[np.intp]:
        """Where the picture has the colour of a sign: rows and columns of pixels."""
        data = picture.png(lanes_of(events), ORIGIN, END)
        pixels = np.asarray(Image.open(BytesIO(data)).convert("RGB"), int)
        colour = [int(picture._MARKS[sign][1][n : n + 2], 16) for n in (1, 3, 5)]
        return np.argwhere(np.abs(pixels - colour).max(axis=2) < 12)

    exits = [e for e in EVENTS if e.type == "fault.start" or e.type == "container.exit"]
    both = [e for e in exits if e.at < ORIGIN + 20 * SECOND]
    alone = [e for e in both if e.type == "fault.start"]
    fault, exited = places(both, "fault"), places(both, "exit")
    assert np.array_equal(fault, places(alone, "fault")) and len(fault) > 20, "nothing covers it"
    assert abs(fault[:, 1].mean() - exited[:, 1].mean()) < 1
    assert fault[:, 0].max() < exited[:, 0].min()
    legend = picture.legend(lanes_of(alone), ORIGIN, END)
    assert "fault" in legend and "exit" not in legend


def test_only_a_violated_assertion_is_a_violation() -> None:
    told = {"source": "container", "stream": "sdk", "type": "sdk.assert"}
    events = [event(n, fields={"violated": str(n % 2)}, **told) for n in (2, 3)]
    assert [m.kind for m in whole(lanes_of(events), "marks")] == ["other", "violation"]


def test_a_million_events_make_a_picture_no_larger(run: Recording) -> None:
    events = many(EventSet(run.events.columns, origin=ORIGIN))
    lanes = Lanes(events.columns, ["db.1"], ORIGIN)
    start, end = ORIGIN, int(events.columns.at[-1])
    parts = ("lines", "marks", "states", "faults")
    started = time.thread_time()
    found = [getattr(lanes, part)(start, end, 1000) for part in parts]
    assert time.thread_time() - started < 5  # 0.4 s on an idle computer, less the next time
    assert len(found[0][0]) == 1000 * len(lanes.names)
    assert len(found[1]) <= 2000 and len(found[2]) <= 1001 * len(lanes.names)
    assert len(found[3]) <= 1000
    assert sum(mark.number for mark in found[1]) > 700_000


# -- zoom and click


def test_zooming_filters_the_log_and_the_picture(run: Recording) -> None:
    view = run.timeline()
    assert view.log.state["count"] == len(EVENTS)
    view.log.filter(container="db.1", type="fault.*")
    view._on_window({"start": 9 * SECOND, "end": 12 * SECOND, "columns": 300})
    assert view.window == (9, 12)
    assert [m[2] for m in view.picture["marks"]] == ["exit", "fault"]
    assert len(view.picture["lines"]) == 300 * len(view.state["lanes"])
    assert [e.type for e in view.log.events] == ["fault.start"], "its other filters stay"
    view.zoom()
    assert [e.type for e in view.log.events] == ["fault.start", "fault.end"]
    assert view.zoom(run.at(3), 2).window == (2, 3)
    assert view.zoom(-100, 1000).window == (0, 30)
    assert view.zoom(5, 5).window == (5, 5.000001)


def test_a_click_gives_a_moment_where_nothing_happened_too(run: Recording) -> None:
    view = run.timeline()
    assert view.moment is None
    view._on_choose({"at": 12_345_678_901})
    assert view.moment == run.at("12.345678901")
    assert view.chosen == {"at": 12_345_678_901, "vtime": "12.345678901",
                           "id": "main@12.345678901"}  # fmt: skip
    view._on_choose({"at": 10**15})
    assert view.moment == run.end
    assert view.select(7).moment == run.at(7)


def test_next_goes_from_mark_to_mark(run: Recording) -> None:
    view = run.timeline()
    seen = []
    for _ in range(3):
        view._on_next({"at": view.chosen.get("at", 1), "forward": True})
        seen.append(view.chosen["vtime"])
    view._on_next({"at": view.chosen["at"], "forward": False})
    assert seen == ["10.000", "10.000001", "15.000"] and view.chosen["vtime"] == "10.000001"
    view._on_next({"at": -(10**12), "forward": False})
    assert view.chosen["vtime"] == "10.000001", "there is nothing before"


def test_a_row_chosen_in_the_log_is_chosen_in_the_timeline(run: Recording) -> None:
    view = run.timeline()
    view.log.select(29)
    assert view.moment == run.at(29.5)


def test_a_timeline_goes_on_with_its_branch(run: Recording) -> None:
    branch = run.at(20).branch()
    view = branch.timeline()
    assert view.window == (0, 20) and view.state["fork"] == 20 * SECOND
    history = branch._history
    history.log.append(exit_of(24))
    history.tip = type(history.tip)(ORIGIN + 25 * SECOND, history.tip.count)
    history.watchers[0](True)
    assert view.window == (0, 25)
    assert view.picture["marks"][-1][2] == "exit"
    view.zoom(1, 2)
    history.watchers[0](True)
    assert view.window == (1, 2), "who looks at something keeps it"
    view.close()
    assert history.watchers == []


def test_a_picture_with_a_curve_of_lost_futures_only_is_drawn(run: Recording) -> None:
    question, _ = ask(run, failure("exit:db.1"))
    lost = [Draw(at=ORIGIN, seed=0, verdict="censored", end=ORIGIN)]
    for draws in ([], lost):
        curve = Curve(run, question, (ORIGIN, END), draws)
        assert picture.png(lanes_of(EVENTS), ORIGIN, END, curve=curve).startswith(b"\x89PNG")


def test_curves_that_were_drawn_stand_above(run: Recording) -> None:
    from coinfutures import SYSTEMS

    question, _ = ask(run, failure("exit:db.1"))
    drawn = collect(run, question, Settings(ORIGIN, END), Drawer(SYSTEMS[0]).open)
    (curve,) = TimelineView(run).state["curves"]
    assert curve["failure"] == "exit of db.1"
    assert [p[0] for p in curve["points"]] == [p.at - ORIGIN for p in drawn.points]
    _, share, low, high, failed, trials = curve["points"][0]
    assert 0 <= low <= share <= high <= 1
    assert (failed, trials) == drawn.points[0].beginning[:2]


# -- what stays in the notebook


def test_the_saved_picture_reads_without_a_kernel(run: Recording) -> None:
    first, second = (run.timeline()._static() for _ in range(2))
    assert first == second
    html, plain = first["text/html"], first["text/plain"]
    assert STATIC in html and STATIC in plain
    assert "<script" not in html and "http" not in html
    assert "29.500000" in html and "container.exit" in html
    picture = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert picture and b64decode(picture[1]).startswith(b"\x89PNG")
    assert "db.1 exit code=1" in plain or "db.1 exit" in plain


def test_a_million_events_leave_a_small_output(tmp_path: Path) -> None:
    names = [f"service-{n:03d}.1" for n in range(60)]
    events = [exit_of(n / 1000, names[n % 60], text="<i>x" * 200) for n in range(29_000)]
    with recording(tmp_path / "large.branchpoint", events) as run:
        static = run.timeline()._static()
        assert len(json.dumps(static)) < LARGEST
        assert "<i>" not in static["text/html"] and "28980 more" in static["text/html"]
