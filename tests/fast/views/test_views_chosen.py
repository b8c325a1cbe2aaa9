"""What is told elsewhere of the moments that are chosen in views: all choices, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from captures import SYN, captured, segment
from likelihoods import exit_of, recording
from recordings import ORIGIN, SECOND, event

from branchpoint import showing
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import Point
from branchpoint.views.view import View

LINES = [event(1), *[event(2, "again")] * 5, event(3), exit_of(4)]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", LINES) as made:
        yield made


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The moments of which the panel learns."""
    found: list[Any] = []
    monkeypatch.setattr(showing, "_told", [found.append])
    return found


def test_each_choice_is_told_even_of_what_was_chosen_before(
    run: Recording, told: list[Any]
) -> None:
    log, timeline, tree = run.events.explore(), run.timeline(), run.map()
    choices: list[tuple[View, dict[str, Any]]] = [
        (log, {"ask": "select", "position": 6}),
        (timeline, {"ask": "choose", "at": 2 * SECOND}),
        (timeline, {"ask": "next", "at": SECOND, "forward": True}),
        (tree, {"ask": "select", "number": 0}),
    ]
    for view, message in choices:
        told.clear()
        for _ in range(2):
            view._asked(view, message, [])
        assert told == [view.moment] * 2 and view.value == view.moment is not None
    told.clear()
    assert [log.select(3).moment, timeline.select(3).moment, tree.select(0).moment] == told


def test_a_fold_that_is_opened_is_no_choice(run: Recording, told: list[Any]) -> None:
    view = run.events.explore()
    view._on_select({"position": 6})
    row, seen = view.chosen["row"], len(told)
    view._on_open({"position": 1})
    assert view.chosen["row"] == row + 4 and len(told) == seen == 1


def test_a_log_that_grows_is_no_choice(run: Recording, told: list[Any]) -> None:
    branch = run.at(3.5).branch()
    history = branch._history
    view = branch.events.explore(not_followed_by=("late", 1))
    view.select(3)
    seen = len(told)
    history.log.append(event(3.6, "late"))
    history.tip = Point(ORIGIN + 4 * SECOND, history.tip.count)
    generation = view.state["generation"]
    view._grew()
    assert view.state["generation"] > generation and len(told) == seen == 1


def test_a_timeline_follows_the_choices_in_its_log_only(run: Recording, told: list[Any]) -> None:
    view = run.timeline()
    log = view.log
    log._on_select({"position": 6})
    assert view.value == view.moment == run.at(3) and told == [run.at(3)]
    view.select(1.5)
    log._on_open({"position": 1})
    assert view.value == view.moment == run.at(1.5) and told == [run.at(3), run.at(1.5)]
    log._on_select({"position": 6})
    assert view.value == view.moment == run.at(3) and told[2:] == [run.at(3)]


def test_a_packet_that_is_dissected_is_no_choice(
    run: Recording, told: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    packets = captured(segment(flags=SYN))
    packets.moment_of = run.at_ns
    monkeypatch.setattr(type(packets), "dissect", lambda *_: "in words")
    view = packets.explore()
    for _ in range(2):
        view._on_select({"number": 0})
    assert told == [view.moment] * 2
    view._on_dissect({})
    assert view.chosen["dissected"] == "in words" and len(told) == 2


def test_a_map_that_is_drawn_again_has_nothing_chosen(run: Recording, told: list[Any]) -> None:
    view = run.map().select(0)
    assert view.value == run.end and told == [run.end]
    assert view.update().value is None and len(told) == 1
