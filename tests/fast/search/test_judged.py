"""Assertions of programs, judged over all timelines."""

from __future__ import annotations

import pytest

from branchpoint.search.judged import Judged, judge
from branchpoint.search.tree import ROOT, Tree


def tree(*stretches: list[str]) -> Tree:
    made = Tree(0)
    for seed, seen in enumerate(stretches):
        made.add(made.node(ROOT, seed, 0, 10, seen))
    return made


def said(kind: str, outcome: str, message: str = "m") -> str:
    return f"assertion {kind} {outcome}: {message}"


@pytest.mark.parametrize(
    ("kind", "outcomes", "status"),
    [
        ("always", ["declared"], "not met"),
        ("always", ["declared", "true"], "holds"),
        ("always", ["true", "false"], "violated"),
        ("always_or_unreachable", ["declared"], "holds"),
        ("always_or_unreachable", ["true", "false"], "violated"),
        ("sometimes", ["declared", "false"], "not met"),
        ("sometimes", ["false", "true"], "holds"),
        ("reachable", ["declared"], "not met"),
        ("reachable", ["true"], "holds"),
        ("unreachable", ["declared"], "holds"),
        ("unreachable", ["false"], "violated"),
    ],
)
def test_each_kind_has_its_rule(kind: str, outcomes: list[str], status: str) -> None:
    (found,) = judge(tree(*([said(kind, outcome)] for outcome in outcomes)), [])
    assert found.status == status


def test_examples_are_the_first_stretches_and_set_up_is_one() -> None:
    explored = tree(
        ["log db.1: x", said("sometimes", "false")],
        [said("sometimes", "true"), said("sometimes", "false")],
        [said("sometimes", "true"), said("always", "true", "n: o")],
    )
    setup = ["container.start", said("always", "true", "n: o"), said("reachable", "declared", "r")]
    assert judge(explored, setup) == [
        Judged("n: o", "always", true=2, example=ROOT),
        Judged("r", "reachable"),
        Judged("m", "sometimes", true=2, false=2, example=2, counterexample=1),
    ]


def test_what_should_never_be_reached_is_violated_where_it_was_first() -> None:
    for first, second in ((2, 5), (5, 2)):
        seen = Judged("never", "unreachable", true=1, false=1, example=first, counterexample=second)
        assert (seen.status, seen.where) == ("violated", "stretch 2")
    assert Judged("always", "always", true=1, false=1, example=2, counterexample=5).where == (
        "stretch 5"
    )
