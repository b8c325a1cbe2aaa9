"""What an exploration knows about code: places, their numbers, and how often each ran."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest

from branchpoint.events.event import Event
from branchpoint.events.reports import from_guest
from branchpoint.guest import wire
from branchpoint.programs.python import Line
from branchpoint.search.code import (
    EDGES,
    LINES,
    RARE,
    Code,
    edges_of,
    file_key,
    key_of,
    lines_of,
    together,
)
from branchpoint.search.tree import ROOT, Tree


def ran(code: Code, *places: int) -> tuple[list[int], list[int]]:
    """A stretch in which these ran, taken in."""
    seen = code.look(np.array(places, np.uint64))
    code.learn(*seen)
    return seen


def test_places_are_numbered_in_the_order_in_which_they_are_seen() -> None:
    code = Code()
    assert ran(code, 50, 70) == ([50, 70], [])
    assert ran(code, 10, 60, 70) == ([10, 60], [1])
    assert ran(code, 10, 50, 60) == ([], [0, 2, 3])
    assert code.places == [50, 70, 10, 60] and len(code) == 4
    assert code.counts.tolist() == [2, 2, 2, 2]


def test_what_runs_often_is_not_noted() -> None:
    code = Code()
    for count in range(1, RARE):
        assert ran(code, 5)[1] == ([0] if count > 1 else [])
    assert ran(code, 5) == ([], [0])
    assert ran(code, 5, 6) == ([6], [])
    assert ran(code, 5, 6) == ([], [1])
    assert code.counts.tolist() == [RARE, 2]


@pytest.mark.parametrize(
    ("fresh", "rare"),
    [([7, 6], []), ([7, 7], []), ([5], []), ([], [1]), ([], [0, 0]), ([], [-1])],
)
def test_what_cannot_be_is_refused_and_changes_nothing(fresh: list[int], rare: list[int]) -> None:
    code = Code()
    ran(code, 5)
    with pytest.raises(ValueError, match="code"):
        code.learn(fresh, rare)
    assert (code.places, code.counts.tolist()) == ([5], [1])


# -- edges of which programs tell


def edges(container: str, module: str, *numbers: int) -> Event:
    line = json.dumps({"branchpoint_coverage": {"module": module, "edges": numbers}})
    return from_guest(wire.Line(5, f"container/{container}", "sdk", line.encode()))


def test_edges_have_places_of_their_own() -> None:
    told = [edges("a.1", "m", 3, 4), edges("a.2", "m", 3), edges("a.1", "n", 3)]
    places = np.concatenate([edges_of(event) for event in told])
    assert len(set(places.tolist())) == 4
    assert (places >= EDGES).all() and (places < 2 * EDGES).all()
    assert edges_of(edges("a.1", "m", 4)).tolist() == [places[1]]
    other = from_guest(wire.Line(5, "container/a.1", "out", b'{"branchpoint_coverage": 3}'))
    assert edges_of(other).tolist() == []


def test_edges_are_code_like_any_other() -> None:
    told = [edges_of(edges("a.1", "m", 3, 4)), edges_of(edges("a.1", "m", 4))]
    ran, left_out = together(np.array([7, 9], np.uint64), told, 10)
    assert len(ran) == 4 and ran[:2].tolist() == [7, 9] and not left_out
    assert (ran[1:] > ran[:-1]).all()
    assert together(ran, told, 3)[0].tolist() == ran[:3].tolist()
    assert together(ran, told, 3)[1]
    tree = Tree(0)
    node = tree.node(ROOT, 1, 0, 5, [], ran)
    assert msgspec.convert(msgspec.to_builtins(node), type(node)).fresh_code == ran.tolist()


# -- lines of Python programs


def test_a_line_is_a_place_by_its_file_and_number() -> None:
    some = [Line("/srv/a.py", "f", 7), Line("/srv/a.py", "g", 7), Line("/srv/b.py", "f", 7)]
    places = sorted(lines_of(some).tolist())
    assert len(places) == 2 and all(LINES <= place < EDGES for place in places)
    assert {key_of(place) for place in places} == {file_key("/srv/a.py"), file_key("/srv/b.py")}
    assert lines_of([Line("/srv/a.py", "", 8)])[0] - lines_of(some[:1])[0] == 1
    assert len(lines_of([])) == 0 and lines_of([]).dtype == np.uint64
    assert key_of(LINES - 1) is None and key_of(EDGES) is None


@pytest.mark.parametrize("number", [1, (1 << 19) - 1, 1 << 19, 1 << 40])
def test_any_number_of_a_line_stays_with_its_file(number: int) -> None:
    (place,) = lines_of([Line("/x.py", "", number)]).tolist()
    assert key_of(place) == file_key("/x.py")
