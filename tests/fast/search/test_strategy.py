"""Which stretch comes next, decided without a machine: in worlds that are a few lines of Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pytest

from branchpoint.search.strategy import Next, Strategy
from branchpoint.search.tree import ROOT, Node, Tree

SECOND = 1_000_000_000
DEPTH, LENGTH = 20 * SECOND, SECOND

RAN = "code "
"""How the code that ran is said in these worlds."""

World = Callable[[Any, random.Random], tuple[Any, list[str], bool]]
"""From a state and a source of chance: the state a second later, what was seen, and whether it has
failed."""


@dataclass
class Searched:
    """A search of a world; the state at set-up is 0."""

    world: World
    seed: int = 1
    tree: Tree = field(default_factory=lambda: Tree(0))
    states: dict[int, Any] = field(default_factory=lambda: {ROOT: 0})
    found: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.strategy = Strategy(self.tree, self.seed, DEPTH, LENGTH)

    def step(self, worker: int = 0) -> Next:
        chosen = self.strategy.next(worker)
        state, seen, failed = self.world(self.states[chosen.parent], random.Random(chosen.seed))
        start = self.tree.end(chosen.parent)
        lines = [each for each in seen if not each.startswith(RAN)]
        ran = sorted(int(each.removeprefix(RAN)) for each in seen if each.startswith(RAN))
        made = self.tree.node(
            chosen.parent, chosen.seed, start, start + LENGTH, lines, np.array(ran, np.uint64)
        )
        made = msgspec.structs.replace(made, worker=worker, walk=chosen.walk)
        if failed:
            made = msgspec.structs.replace(made, failure="it", failed_at=made.end)
            self.found.append(made.number)
        self.states[self.tree.add(made)] = state
        self.strategy.learn(made)
        return chosen

    def run(self, count: int) -> Searched:
        for _ in range(count):
            self.step()
        return self


def silent(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
    return state, [], False


def lock(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
    """Five dials, of which each is turned in its second or never, in one case of ten."""
    if state is None or chance.random() > 0.1:
        return None, [], False
    return state + 1, [f"dial {state} is turned"], state == 4


def silent_lock(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
    """The same, but all that it shows is the code that runs; and some other code runs by chance."""
    noise = [f"{RAN}{1000 + chance.randrange(3)}"]
    state, said, failed = lock(state, chance)
    return state, noise + [f"{RAN}{state}" for _ in said], failed


def late(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
    """What is decided at the fifth second is seen at the fifteenth; nothing is said in between."""
    second, doomed = state or (0, False)
    doomed = chance.random() < 0.1 if second == 5 else doomed
    return (
        (second + 1, doomed),
        ["crash"] if doomed and second == 15 else [],
        doomed and second == 15,
    )


def needed(world: World, most: int) -> list[int]:
    """The stretches until the failure is found, in twenty searches; ascending."""
    counts = []
    for seed in range(20):
        search = Searched(world, seed)
        while not search.found and len(search.tree) < most:
            search.step()
        counts.append(len(search.tree))
    return sorted(counts)


@pytest.mark.parametrize(("world", "median"), [(lock, 350), (silent_lock, 500)])
def test_five_unlikely_draws_in_a_row_take_hundreds_of_stretches(world: World, median: int) -> None:
    counts = needed(world, 1000)  # not a hundred thousand
    assert counts[10] < median and counts[18] < 1000, counts


def test_what_shows_long_after_it_was_decided_is_found_too() -> None:
    counts = needed(late, 2000)
    assert counts[18] < 2000, counts


def test_the_first_stretch_leaves_set_up() -> None:
    assert {Searched(silent, seed).step().parent for seed in range(50)} == {ROOT}


@pytest.mark.parametrize("world", [lock, silent_lock])
def test_equal_trees_and_seeds_give_equal_choices(world: World) -> None:
    def choices(seed: int) -> list[Next]:
        search = Searched(world, seed)
        found = []
        for _ in range(80):
            again = Strategy(search.tree, seed, DEPTH, LENGTH)
            expected = again.next()
            found.append(search.step())
            assert found[-1] == expected, "one that was interrupted goes on in the same way"
        return found

    assert choices(1) == choices(1) != choices(2)


def test_each_worker_has_its_own_walk() -> None:
    search = Searched(silent)
    for number in range(400):
        search.step(worker=number % 2)
    nodes = search.tree.nodes
    for number, node in enumerate(nodes[2:], 2):
        before = nodes[number - 2]
        if before.walk and before.end < DEPTH:
            assert (node.parent, node.walk) == (before.number, True)
    assert {node.end for node in nodes if node.worker} >= {DEPTH}


def test_walks_go_to_the_greatest_depth_and_nothing_goes_beyond() -> None:
    tree = Searched(silent).run(300).tree
    ends = [node.end for node in tree.nodes]
    assert max(ends) == DEPTH and ends.count(DEPTH) > 5
    assert all(tree.end(node.parent) < DEPTH for node in tree.nodes)


def test_tries_leave_what_was_new_and_become_fewer_when_they_are_in_vain() -> None:
    def once(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
        return 1, ["the only thing"], False

    tree = Searched(once).run(1500).tree
    assert tree[1].fresh and not any(node.fresh for node in tree.nodes[1:])

    def share(nodes: list[Node]) -> float:
        return sum(node.parent == 1 for node in nodes) / len(nodes)

    assert share(tree.nodes[1:200]) > 0.2
    assert share(tree.nodes[1000:]) < share(tree.nodes[1:200]) / 2


def test_a_node_off_which_a_failure_was_found_is_not_continued() -> None:
    def doomed(state: Any, chance: random.Random) -> tuple[Any, list[str], bool]:
        return state + 1, [f"state {state + 1}"], state == 3

    search = Searched(doomed).run(200)
    assert len(search.found) > 20
    parents = {search.tree[number].parent for number in search.found}
    for number in {*parents, *search.found}:
        children = [node.number for node in search.tree.nodes if node.parent == number]
        assert children == [] or children[-1] in search.found
        assert sum(child in search.found for child in children) <= 1
    assert any(node.parent == ROOT for node in search.tree.nodes[100:]), "but set-up is"
