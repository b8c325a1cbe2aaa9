"""The tree of an exploration, without a machine."""

from __future__ import annotations

from typing import Any

import pytest
from recordings import event

from branchpoint.search.signs import sign
from branchpoint.search.tree import ROOT, Node, Tree

START = 1000


def grown() -> Tree:
    """Root, 1 and 2 off it, 3 off 1."""
    tree = Tree(START)
    tree.add(tree.node(ROOT, 7, START, 1100, ["a", "b", "a"]))
    tree.add(tree.node(ROOT, 8, START, 1200, ["b"]))
    tree.add(tree.node(1, 9, 1100, 1300, ["b", "c"]))
    return tree


def test_what_is_new_is_noted_once_and_numbered() -> None:
    tree = grown()
    assert tree.signs == ["a", "b", "c"]
    assert [node.fresh for node in tree.nodes] == [["a", "b"], [], ["c"]]
    assert [node.seen for node in tree.nodes] == [[0, 1], [1], [1, 2]]
    assert tree.knows("c") and not tree.knows("d")


def test_a_node_goes_on_where_its_parent_ends() -> None:
    tree = grown()
    assert tree.path(3) == [1, 3] and tree.path(ROOT) == []
    assert (tree.end(ROOT), tree.end(3)) == (START, 1300)
    assert tree.virtual == 100 + 200 + 200
    with pytest.raises(IndexError):
        tree[ROOT]


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"parent": 2, "start": 1100}, "does not begin where its parent ends"),
        ({"parent": 4, "start": 1300}, "does not begin where its parent ends"),
        ({"parent": 3, "start": 1300, "seen": [3]}, "numbers what it has seen otherwise"),
        ({"parent": 3, "start": 1300, "fresh": ["a"]}, "numbers what it has seen otherwise"),
        ({"parent": 3, "start": 1300, "number": 5}, "number 4 is missing"),
    ],
)
def test_a_node_that_does_not_fit_is_refused(node: dict[str, Any], reason: str) -> None:
    tree = grown()
    with pytest.raises(ValueError, match=reason):
        tree.add(Node(**{"number": 4, "seed": 1, "end": 2000} | node))
    assert len(tree) == 3
    tree.add(Node(number=4, parent=3, seed=1, start=1300, end=2000, fresh=["d"], seen=[3]))


def test_lines_that_differ_in_numbers_only_have_one_sign() -> None:
    one, other = (sign(event(1, f"took {n} ms from 10.0.0.{n}")) for n in (3, 48))
    assert one == other == "log db.1: took # ms from #"
    assert sign(event(1, "started")) != one
    gone = event(2, "", type="container.exit", source="life", fields={"code": "3", "signal": "0"})
    assert sign(gone) == "exit db.1 3"
    assert sign(event(1, "typed", source="process")) == "", "commands of a user are no signs"
