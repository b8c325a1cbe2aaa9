"""The map of an exploration, without a browser and without a machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from explorations import END, FAILURE, begun
from hypothesis import given
from hypothesis import strategies as st
from recordings import ORIGIN

import branchpoint as bp
from branchpoint.search.exploration import Exploration
from branchpoint.search.tree import ROOT, Node, Tree
from branchpoint.views.stretches import ExplorationMap, rows_of
from branchpoint.views.view import LARGEST


def grow(tree: Tree, parent: int, *seen: str, failed: str = "") -> Node:
    """A stretch of 50 ns that continues another one, to be added."""
    start = tree.end(parent)
    node = tree.node(parent, len(tree), start, start + 50, seen)
    how = {"failure": FAILURE, "failed_at": start + 40, "kind": failed}
    return msgspec.structs.replace(node, **how) if failed else node


@pytest.fixture
def found(tmp_path: Path) -> Iterator[Exploration]:
    """1 -> 2 -> 4 (failed), 1 -> 3, 5 (failed as 4 did)."""
    with begun(tmp_path / "night.bpx") as found:
        for parent, seen, failed in (
            (ROOT, ["line a"], ""), (1, ["line b", "line c"], ""), (1, [], ""),
            (2, [], "exit of db.1"), (ROOT, [], "exit of db.1"),
        ):  # fmt: skip
            found.add(grow(found.tree, parent, *seen, failed=failed))
        yield found


def test_stretches_are_a_tree_with_what_each_brought(found: Exploration) -> None:
    nodes = found.map().state["nodes"]
    assert [(node[4], node[3], node[5], node[6]) for node in nodes] == [
        (0, -1, "", "set-up is complete"),
        (1, 0, "passed", "1  new: line a"),
        (2, 1, "passed", "2  new: line b; line c"),
        (3, 2, "failed", f"4  {FAILURE}: exit of db.1"),
        (2, 1, "passed", "3"),
        (1, 0, "failed", f"5  {FAILURE}: exit of db.1"),
    ]  # fmt: skip
    state = found.map().state
    assert (state["count"], state["left_out"], state["failure"]) == (5, 0, FAILURE)
    assert state["span"] == [END - ORIGIN, END - ORIGIN + 150]


def test_of_many_those_that_found_something_have_rows(found: Exploration) -> None:
    rows = rows_of(found, most=3)
    assert [(row.kind, row.numbers) for row in rows] == [
        ("recording", []), ("futures", [5]), ("branch", [1]), ("futures", [3]), ("branch", [2]),
        ("branch", [4]),
    ]  # fmt: skip
    assert rows[1].title == "1 more stretch: 1 failed" and rows[1].failed == 1
    rows = rows_of(found, most=2)
    assert [row.numbers for row in rows] == [[], [5], [1], [3], [2], [4]], (
        "its first way is too long"
    )


@given(
    parents=st.lists(st.integers(0, 10**6), max_size=60),
    failing=st.sets(st.integers(1, 60)),
    most=st.integers(0, 20),
)
def test_each_stretch_is_in_one_row(parents: list[int], failing: set[int], most: int) -> None:
    tree = Tree(END)
    for number, parent in enumerate(parents, 1):
        failed = "exit" if number in failing else ""
        tree.add(grow(tree, parent % number, f"line {number % 7}", failed=failed))
    first = [SimpleNamespace(nodes=[n.number]) for n in tree.nodes if n.failure][:1]
    found: Any = SimpleNamespace(tree=tree, findings=first)
    rows = rows_of(found, most)
    assert sorted(number for row in rows for number in row.numbers) == [*range(1, len(tree) + 1)]
    assert sum(row.kind == "branch" for row in rows) <= most
    for place, row in enumerate(rows):
        if place == 0:
            continue
        above = rows[row.parent]
        assert row.parent < place and row.depth == above.depth + 1
        reach = {ROOT} if row.parent == 0 else set(above.numbers)
        for number in row.numbers if row.kind == "futures" else [row.numbers[0]]:
            assert reach & {ROOT, *tree.path(number)}


def test_a_stretch_is_chosen_and_run_again(
    found: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    end = SimpleNamespace()

    def branch(self: Exploration, number: int) -> Any:
        asked.append(number)
        return SimpleNamespace(end=end)

    monkeypatch.setattr(Exploration, "branch", branch)
    view = ExplorationMap(found)
    assert view.stretch is None and view.branch is None and view.moment is None
    view._on_select({"number": 3})
    assert view.stretch == 4 and view.chosen["code"] == "exploration.branch(4)"
    assert asked == [] and view.value is None, "it is run again only when somebody asks for it"
    assert view.moment is end and asked == [4]
    view._on_select({"number": 0})
    assert view.stretch is None and view.chosen["code"] == ""
    with pytest.raises(bp.BranchpointError, match="no row 99"):
        view._on_select({"number": 99})
    with pytest.raises(bp.BranchpointError, match=r"no stretch 6\n.*1 to 5"):
        view.select(6)


def test_those_without_a_row_are_listed(
    found: Exploration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("branchpoint.views.stretches.rows_of", lambda found: rows_of(found, 3))
    view = found.map().select(5)
    assert view.stretch == 5 and view.chosen["future"] == 0 and view.chosen["count"] == 1
    assert view.chosen["rows"] == [
        ["4", "failed", "0.000", f"{FAILURE}: exit of db.1", "stretch 5"]
    ]
    assert view.state["left_out"] == 2
    view._on_select({"number": 1})
    assert view.stretch is None
    view._on_future({"number": 0})
    assert view.chosen["code"] == "exploration.branch(5)"


def test_later_stretches_are_drawn_when_asked_for(found: Exploration) -> None:
    view = found.map()
    found.add(grow(found.tree, 3, "line d"))
    assert len(view.state["nodes"]) == 6
    view._on_update({})
    assert len(view.state["nodes"]) == 7


def test_a_hundred_thousand_stretches_make_a_small_picture(tmp_path: Path) -> None:
    with begun(tmp_path / "night.bpx") as found:
        for number in range(100_000):
            parent = 0 if number % 10 == 0 else number
            failed = "exit of db.1" if number % 1000 == 999 else ""
            seen = [f"line {number}"] if number % 50 == 0 else []
            found.tree.add(grow(found.tree, parent, *seen, failed=failed))
        started = time.thread_time()
        view = found.map()
        assert time.thread_time() - started < 10  # 0.1 s on an idle computer
        assert len(view.state["nodes"]) < 700 and view.state["count"] == 100_000
        assert len(view._fallback_html()) < LARGEST and "100000 stretches" in repr(view)
        assert view.select(77_777).stretch == 77_777
