"""Test commands in a search: how stretches end a test, and how commands are judged."""

from __future__ import annotations

import msgspec
import pytest

from branchpoint.events import reports
from branchpoint.futures.running.signatures import signature
from branchpoint.guest import wire
from branchpoint.search.composed import Commands, driven, ended
from branchpoint.search.judged import Judged, judge
from branchpoint.search.strategy import Strategy
from branchpoint.search.tree import ROOT, Tree
from branchpoint.store.manifest import ContainerFacts
from branchpoint.timeline.failures import Happening, failure

COMMANDS = Commands.of(
    [
        ContainerFacts(name="a.1", service="a", tests=["main/parallel_driver_x", "other/first_y"]),
        ContainerFacts(name="b.1", service="b", tests=["main/eventually_e", "main/finally_f"]),
        ContainerFacts(name="c.1", service="c"),
    ]
)
BEGINS = "test begins a.1 main/parallel_driver_x"


def event(type: str, **fields: str) -> wire.Event:
    known = {"name": "a.1", "template": "main", "command": "parallel_driver_x"}
    return wire.Event(at=5, type=type, fields=known | fields)


@pytest.mark.parametrize(
    ("fields", "how", "counts"),
    [
        ({"code": "0", "signal": "0", "asked": "0"}, "0", False),
        ({"code": "3", "signal": "0", "asked": "0"}, "3", True),
        ({"code": "139", "signal": "11", "asked": "0"}, "signal 11", True),
        ({"code": "137", "signal": "9", "asked": "0"}, "signal 9", False),
        ({"code": "137", "signal": "9", "asked": "1"}, "as asked", False),
    ],
)
def test_a_command_that_is_killed_has_not_failed(
    fields: dict[str, str], how: str, counts: bool
) -> None:
    told = reports.from_guest(event("test.exit", **fields))
    found = ended(signature(told))
    assert found is not None
    assert (found.command, found.how) == ("a.1 main/parallel_driver_x", how)
    for pattern in ("*", "main/parallel_*", "parallel_driver_x"):
        for asked in (failure(test=pattern), failure(f"test:{pattern}")):
            assert isinstance(asked, Happening) and asked.query(told) is counts
    for pattern in ("x", "parallel_driver", "main", "other/*"):
        asked = failure(test=pattern)
        assert isinstance(asked, Happening) and not asked.query(told)


def test_drivers_are_told_from_other_commands() -> None:
    assert driven(signature(reports.from_guest(event("test.start", pid="7")))) == "main"
    first = event("test.start", command="first_y", template="other", pid="7")
    assert driven(signature(reports.from_guest(first))) == ""
    assert driven("exit a.1 1") == driven("") == ""
    assert ended(BEGINS) is None


def test_a_test_is_ended_where_a_driver_has_begun_and_never_continued() -> None:
    tree = Tree(0)
    strategy = Strategy(tree, 1, depth=10_000, length=10, commands=COMMANDS)
    endings = []
    for number in range(400):
        chosen = strategy.next()
        begun = any(BEGINS in tree[each].fresh for each in tree.path(chosen.parent))
        if chosen.ending:
            assert begun
            endings.append(chosen.ending)
        seen = [BEGINS] if number == 20 else []
        start = tree.end(chosen.parent)
        made = tree.node(chosen.parent, chosen.seed, start, start + 10, seen)
        made = msgspec.structs.replace(made, walk=chosen.walk, ending=chosen.ending)
        tree.add(made)
        strategy.learn(made)
    assert set(endings) == {"eventually", "finally"}
    assert not any(tree[node.parent].ending for node in tree.nodes if node.parent != ROOT)


def test_without_commands_for_the_end_no_test_is_ended() -> None:
    assert COMMANDS.endings("main") == ("eventually", "finally")
    assert COMMANDS.endings("other") == COMMANDS.endings("") == ()


def test_each_command_must_end_with_0_once_and_never_otherwise() -> None:
    tree = Tree(0)
    ends = "test ends a.1 main/parallel_driver_x"
    for seed, seen in enumerate(
        [[BEGINS], [f"{ends} 0"], [f"{ends} as asked"], [f"{ends} 0", f"{ends} 1"]]
    ):
        tree.add(tree.node(ROOT, seed, 0, 10, seen))
    found = {each.message: each for each in judge(tree, [], COMMANDS)}
    assert found.pop("a.1 main/parallel_driver_x") == Judged(
        "a.1 main/parallel_driver_x", "command", true=2, false=1, example=2, counterexample=4
    )
    assert {each.status for each in found.values()} == {"not met"}
    assert set(found) == {"a.1 other/first_y", "b.1 main/eventually_e", "b.1 main/finally_f"}
    assert judge(tree, [], COMMANDS)[0].status == "violated"
