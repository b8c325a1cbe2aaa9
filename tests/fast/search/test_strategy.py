"""Which stretch comes next, decided without a machine."""

from __future__ import annotations

from collections import Counter

from branchpoint.search.strategy import Next, Strategy
from branchpoint.search.tree import ROOT, Node, Tree

SECOND = 1_000_000_000
DEPTH, LENGTH = 10 * SECOND, SECOND


def add(tree: Tree, parent: int, *seen: str, failed: bool = False) -> int:
    start = tree.end(parent)
    node = tree.node(parent, len(tree), start, start + LENGTH, seen)
    if failed:
        node = Node(
            number=node.number,
            parent=parent, seed=0, start=start, end=start + LENGTH, fresh=node.fresh,
            seen=node.seen, failure="it", failed_at=start + 1,
        )  # fmt: skip
    return tree.add(node)


def chosen(tree: Tree, count: int = 2000) -> Counter[int]:
    """How often each node is continued; with each choice the tree grows by a barren stretch."""
    grown = Tree(tree.start)
    for node in tree.nodes:
        grown.add(node)
    found: Counter[int] = Counter()
    for seed in range(count):
        found[Strategy(grown, seed, DEPTH, LENGTH).next().parent] += 1
    return found


def test_the_first_stretch_leaves_set_up() -> None:
    assert {Strategy(Tree(0), seed, DEPTH, LENGTH).next().parent for seed in range(50)} == {ROOT}


def test_equal_trees_and_seeds_give_equal_choices() -> None:
    def choices(seed: int) -> list[Next]:
        tree = Tree(0)
        strategy = Strategy(tree, seed, DEPTH, LENGTH)
        found = []
        for number in range(60):
            again = Strategy(tree, seed, DEPTH, LENGTH)
            found.append(strategy.next())
            assert again.next() == found[-1], "one that was interrupted goes on in the same way"
            parent = found[-1].parent
            add(tree, parent, *(["x"] if number % 7 else [f"new {number}"]))
            strategy.learn(tree.nodes[-1])
        return found

    assert choices(1) == choices(1) != choices(2)


def test_what_showed_something_new_is_continued_most() -> None:
    tree = Tree(0)
    dull = [add(tree, ROOT, "same") for _ in range(30)][1:]
    new = add(tree, ROOT, "same", "never seen before")
    found = chosen(tree)
    assert found[new] > 400
    assert all(found[new] > 5 * found[node] for node in dull)
    assert found[ROOT] > 200, "and set-up is never forgotten"


def test_what_leads_nowhere_is_tried_less_and_less_but_not_given_up() -> None:
    tree = Tree(0)
    one, other = add(tree, ROOT, "a"), add(tree, ROOT, "b")
    before = chosen(tree)
    for _ in range(20):
        add(tree, one, "a")
    after = chosen(tree)
    assert 0 < after[one] < before[one] / 3
    assert after[other] > after[one]
    deeper = add(tree, one, "c")
    assert chosen(tree)[one] > 2 * after[one], "it is worth its energy again"
    assert chosen(tree)[deeper] > after[one]


def test_the_deeper_of_two_is_continued_more_often_and_none_beyond_the_depth() -> None:
    tree = Tree(0)
    number = add(tree, ROOT, "x")
    path = [number]
    for _ in range(9):
        number = add(tree, number, "x")
        path.append(number)
    found = chosen(tree)
    assert tree.end(path[-1]) == DEPTH and found[path[-1]] == 0
    assert found[path[8]] > found[path[1]]


def test_a_node_off_which_a_failure_was_found_is_not_continued() -> None:
    tree = Tree(0)
    doomed = add(tree, ROOT, "a")
    failed = add(tree, doomed, "exit", failed=True)
    add(tree, ROOT, "b")
    found = chosen(tree)
    assert found[doomed] == found[failed] == 0
    straight = add(tree, ROOT, failed=True)
    found = chosen(tree)
    assert found[straight] == 0 and found[ROOT] > 0, "set-up itself is continued"
