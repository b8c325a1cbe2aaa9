"""The multiverse map and comparisons, without a browser and without a machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from coinfutures import SYSTEMS
from likelihoods import END, Drawer, exit_of, recording
from recordings import ORIGIN, SECOND, event

import branchpoint as bp
from branchpoint.futures.allocation import Settings
from branchpoint.futures.likelihood import ask, collect
from branchpoint.store.manifest import Input
from branchpoint.timeline.directory import Future
from branchpoint.timeline.failures import failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import COMMAND, Point
from branchpoint.timeline.seeds import seeding
from branchpoint.views.view import LARGEST, STATIC

EVENTS = [event(1, "ready"), event(12, "sent 1 to 10.0.0.1:4000"), exit_of(29.5)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", EVENTS) as made:
        yield made


def played(branch: bp.Branch, until: float, *events: bp.Event) -> bp.Branch:
    """A branch as if it had run to ``until`` with these events."""
    history = branch._history
    history.log.extend(events)
    history.tip = Point(ORIGIN + round(until * SECOND), history.tip.count)
    return branch


def command(branch: bp.Branch, note: str) -> None:
    branch._history.add(Input(at=branch.end.at, kind=COMMAND, data=note.encode(), note=note))


def rows(run: Recording, **options: bool) -> list[tuple[int, str, str, str]]:
    nodes = run.map(**options).state["nodes"]
    return [(depth, kind, title, verdict) for kind, _, _, _, depth, verdict, title, _ in nodes]


# -- the map


def test_branches_that_are_held_are_judged_and_hang_where_they_were_made(
    run: Recording,
) -> None:
    failed = played(run.at(10).branch(7), 15, exit_of(12))
    passed = played(run.at(20).branch(), 25, exit_of(21, asked="1"))
    child = passed.end.rewind(2).branch()
    command(child, "db.1: date")
    assert run.branches[0].id == failed.id
    assert rows(run) == [
        (0, "recording", "the recording", ""),
        (1, "branch", "seed 7", "failed"),
        (1, "branch", "as recorded", "passed"),
        (2, "branch", "db.1: date", ""),
    ]
    parents = [node[3] for node in run.map().state["nodes"]]
    assert parents == [-1, 0, 0, 2]
    del child
    assert len(rows(run)) == 3, "no map keeps what nobody else holds"


def test_what_was_recorded_is_not_told_as_done_in_a_branch(run: Recording) -> None:
    """A finding gets seeds on its way, and so does a branch that goes on as it did."""
    recorded = seeding(ORIGIN + 12 * SECOND, 9)
    run.manifest.inputs.extend(recorded)
    run.replayer.root.inputs[:] = run.manifest.inputs
    as_it_was = played(run.at(10).branch(), 15)
    assert as_it_was._history.inputs[-len(recorded) :] == recorded
    as_it_was._history.tip = Point(as_it_was.end.at, len(as_it_was._history.inputs))
    view = run.map()
    assert [title for _, _, title, _ in rows(run)] == ["the recording", "as recorded"]
    view.select(1)
    assert view.chosen["inputs"] == []


def test_the_failure_can_be_another_one(run: Recording) -> None:
    branch = played(run.at(10).branch(7), 15, event(12, "fatal: lost"))
    assert [node[5] for node in run.map().state["nodes"]] == ["", "passed"]
    view = run.map(bp.failure(log="fatal"))
    assert [node[5] for node in view.state["nodes"]] == ["", "failed"]
    assert view.select(1).branch._history is branch._history


def test_noted_branches_are_children_of_what_they_go_on_with(run: Recording) -> None:
    def given(*notes: str) -> list[Input]:
        at = ORIGIN + 10 * SECOND
        return [
            Input(at=at + n * SECOND, kind=COMMAND, data=note.encode(), note=note)
            for n, note in enumerate(notes)
        ]

    def note(name: str, *notes: str) -> None:
        run.files.add_future(Future(id=name, parent=None, at=at, inputs=given(*notes)))

    at = ORIGIN + 10 * SECOND
    note("b2", "x", "y")
    note("b1", "x")
    note("c1", "z")
    assert rows(run)[1:] == [], "they were noted before"
    noted = [(1, "noted", "x; y", ""), (1, "noted", "z", "")]
    assert rows(run, earlier=True)[1:] == noted, "one branch, noted at two of its tips"
    note("b3", "x", "other")
    noted = [(1, "noted", "x", ""), (2, "noted", "other", ""), (2, "noted", "y", "")]
    assert rows(run, earlier=True)[1:] == [*noted, (1, "noted", "z", "")]
    view = run.map(earlier=True).select(3)
    assert view.id == "b2@11.000"
    assert view.chosen["inputs"] == [[10 * SECOND, "x"], [11 * SECOND, "y"]]


def test_branches_that_lack_something_recorded_are_told_apart(run: Recording) -> None:
    at = ORIGIN + 10 * SECOND
    kills = [
        Input(at=at + n * SECOND, kind="fault", data=b"x", note=f"kill {name}")
        for n, name in enumerate(("db.1", "web.1"))
    ]
    for name, left_out in (("a1", kills[:1]), ("a2", kills)):
        run.files.add_future(Future(id=name, parent=None, at=at, without=left_out))
    titles = {title for _, _, title, _ in rows(run, earlier=True)[1:]}
    assert titles == {"without kill db.1", "without kill db.1; without kill web.1"}


def test_what_continues_a_branch_that_is_held_hangs_below_it(run: Recording) -> None:
    branch = run.at(10).branch()
    command(branch, "x")
    child = played(branch.end.branch(), 12)
    command(child, "y")
    tip = child.end.branch()
    command(tip, "z")
    assert tip.id
    del tip
    titles = [(depth, kind, title) for depth, kind, title, _ in rows(run)[1:]]
    assert titles == [(1, "branch", "x"), (2, "branch", "y"), (3, "noted", "z")]
    assert child.id, "noted, too, and shown once"
    assert [(depth, kind, title) for depth, kind, title, _ in rows(run)[1:]] == titles


def test_keys_that_were_typed_one_by_one_are_one_step(run: Recording) -> None:
    branch = run.at(10).branch()
    terminal, other = branch.terminal(), branch.terminal()
    for keys in ("l", "s", "\n"):
        terminal.type(keys)
    terminal.resize(30, 100)
    other.type("pwd\n")
    terminal.type("x")
    said = "guest: terminal; guest: terminal; type 'ls⏎'; type 'pwd⏎'; type 'x'"
    assert rows(run)[1:] == [(1, "branch", said, "")]
    steps = [words for _, words in run.map().select(1).chosen["inputs"]]
    assert steps[2:4] == ["type 'ls⏎'", "resize to 30 rows, 100 columns"]


def test_a_branch_that_is_held_is_not_noted_twice(run: Recording) -> None:
    branch = played(run.at(10).branch(), 12)
    command(branch, "db.1: date")
    assert branch.id.partition("@")[0] in run.files.futures
    assert [kind for _, kind, _, _ in rows(run)] == ["recording", "branch"]


def test_looking_at_a_map_notes_nothing(run: Recording) -> None:
    branch = played(run.at(10).branch(), 12)
    command(branch, "db.1: date")
    run.map()
    assert not run.files.futures
    assert run.map().select(1).id == branch.id


def test_a_branch_that_was_named_here_stays_when_nobody_holds_it(run: Recording) -> None:
    branch = run.at(10).branch()
    command(branch, "db.1: date")
    id = branch.id
    del branch
    assert rows(run)[1:] == [(1, "noted", "db.1: date", "")]
    assert not run.map().state["more"]
    assert run.map().select(1).id == id


def test_what_was_kept_before_is_shown_when_it_is_asked_for(tmp_path: Path) -> None:
    with recording(tmp_path / "run.branchpoint", EVENTS) as before:
        branch = before.at(10).branch()
        command(branch, "db.1: date")
        name = branch.id.partition("@")[0]
        question, settings = ask(before, failure("exit:db.1"))
        curve = collect(before, question, settings, Drawer(SYSTEMS[0]).open)
    with recording(tmp_path / "run.branchpoint", EVENTS) as run:
        view = run.map()
        assert len(view.state["nodes"]) == 1 and view.state["more"]
        view._on_update({"earlier": True})
        nodes = view.state["nodes"]
        assert [node[6] for node in nodes if node[0] == "noted"] == ["db.1: date"]
        assert sum(sum(node[7]) for node in nodes) == len(curve.draws)
        assert run.timeline().state["curves"] == [] and run.timeline().state["more"]
        assert len(run.timeline(earlier=True).state["curves"]) == 1
        again = collect(run, question, Settings(ORIGIN, END, points=2), Drawer(SYSTEMS[0]).open)
        assert 0 < len(again.draws) < len(curve.draws)
        counts = [sum(node[7]) for node in run.map().state["nodes"]]
        assert sum(counts) == len(again.draws), "only the futures that were asked for here"
        assert name in run.files.futures and name not in run.named


def test_futures_of_a_curve_are_one_row_a_moment(run: Recording) -> None:
    question, _ = ask(run, failure("exit:db.1"))
    curve = collect(run, question, Settings(ORIGIN, END), Drawer(SYSTEMS[0]).open)
    view = run.map()
    nodes = [node for node in view.state["nodes"] if node[0] == "futures"]
    assert [node[1] for node in nodes] == [p.at - ORIGIN for p in curve.points]
    assert [sum(node[7]) for node in nodes] == [p.trials + p.censored for p in curve.points]
    assert [node[7][0] for node in nodes] == [p.failed for p in curve.points]
    view.select(1, future=2)
    draw = [d for d in curve.draws if d.at == curve.points[0].at][2]
    assert view.chosen["count"] == curve.points[0].trials + curve.points[0].censored
    assert view.chosen["rows"][2][:2] == [str(draw.seed), draw.verdict]
    row = curve.draws.index(draw)
    assert view.id == curve.branches["id"][row]
    assert view.chosen["code"] == ("" if view.id else f"curve.branch({row})")
    sent: list[Any] = []
    view.send = sent.append
    for generation in (view.chosen["generation"], view.chosen["generation"] - 1):
        view._on_rows({"generation": generation, "start": 2, "count": 1})
    assert [answer["rows"] for answer in sent] == [view.chosen["rows"][2:3]], "none of other rows"
    with pytest.raises(bp.BranchpointError, match="has no future"):
        view.select(1, future=10**6)


def test_a_map_of_many_branches_stays_small(run: Recording) -> None:
    at = ORIGIN + 10 * SECOND
    for n in range(450):
        inputs = [Input(at=at, kind=COMMAND, data=b"%d" % n, note="<b>" * 100)]
        run.files.add_future(Future(id=f"f{n}", parent=None, at=at, inputs=inputs))
    view = run.map(earlier=True)
    assert len(view.state["nodes"]) == 400 and view.state["left_out"] == 51
    static = view._static()
    assert len(json.dumps(static)) < LARGEST
    assert STATIC in static["text/html"] and "<b>" not in static["text/html"]
    assert "450 branches" in static["text/plain"]


# -- comparisons


def test_the_first_difference_is_what_only_one_has(run: Recording) -> None:
    fork = run.at(10)
    a = played(fork.branch(), 20, event(12, "sent 1 to 10.0.0.1:4000"), event(13, "ok"))
    b = played(
        fork.branch(3), 25, event(11, "ok"), event(12.5, "sent 1 to 10.0.0.1:4999"),
        event(14, "retry"), event(22, "later"),
    )  # fmt: skip
    found = run.compare(a, b)
    assert found.parted == 11
    assert found.first is not None and found.first.a is None
    assert found.first.b is not None and found.first.b.text == "retry"
    assert [(p.a and p.a.text, p.b and p.b.text) for p in found] == [
        ("ready", "ready"),
        ("sent 1 to 10.0.0.1:4000", "sent 1 to 10.0.0.1:4999"),
        ("ok", "ok"),
        (None, "retry"),
    ], "what comes after the earlier end is not compared"
    strict = run.compare(a, b.end, numbers=True)
    assert strict.first is not None and strict.first.a is not None
    assert strict.first.a.text == "sent 1 to 10.0.0.1:4000"
    assert len(strict.differences) == 3
    frame = found.frame()
    assert list(frame["text_b"]) == ["sent 1 to 10.0.0.1:4999", "ok", "retry"]


def test_a_branch_left_alone_is_as_recorded(run: Recording) -> None:
    branch = played(run.at(10).branch(), 30, *EVENTS[1:])
    found = run.compare(run.end, branch)
    assert found.first is None and found.differences == [] and len(found) == len(EVENTS)
    assert "no event that only one of them has" in repr(found)
    assert found.parted == 30


def test_what_happens_more_often_is_a_difference(run: Recording) -> None:
    fork = run.at(10)
    a = played(fork.branch(), 20, event(11, "again"), event(12, "again"))
    b = played(fork.branch(1), 20, event(11, "again"))
    (pair,) = run.compare(a, b).differences
    assert pair.a is not None and pair.a.vtime == 12


def test_both_logs_are_scrolled_side_by_side(run: Recording) -> None:
    fork = run.at(10)
    a = played(fork.branch(), 20, event(11, "<i>a"), event(12, "both"))
    b = played(fork.branch(1), 20, event(12, "both"))
    view = run.compare(a, b).explore()
    assert view.state["rows"][view.state["first"]] == [
        1,
        "db.1",
        [11 * SECOND, "out", "<i>a"],
        None,
    ]
    view._on_select({"number": 1})
    assert view.chosen["ids"] == [a.end.rewind_to(11).id, ""]
    assert view.moments == (a.end.rewind_to(11), None)
    view._on_show({"only": True})
    assert (view.state["count"], view.state["differences"]) == (1, 1)
    static = view._static()
    assert STATIC in static["text/html"] and "<i>" not in static["text/html"]
    assert "first difference at 11.000000 s, only in a" in static["text/plain"]
