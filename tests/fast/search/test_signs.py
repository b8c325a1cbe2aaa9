"""What is seen of a future, as signs that are equal where the same kind of thing happens."""

from __future__ import annotations

import json
from typing import Any

import pytest

from branchpoint.events.reports import from_guest
from branchpoint.guest import wire
from branchpoint.search.signs import assertion, sign, signal


def said(line: str | dict[str, Any], stream: str = "sdk") -> str:
    data = line if isinstance(line, str) else json.dumps(line)
    return sign(from_guest(wire.Line(5, "container/db.1", stream, data.encode())))


def asserted(kind: str, *, hit: bool = True, condition: bool = True, must: bool = True) -> str:
    body = {
        "assert_type": kind, "must_hit": must, "hit": hit, "condition": condition,
        "message": "a leader is chosen", "id": "x",
    }  # fmt: skip
    return said({"antithesis_assert": body})


def test_lines_are_equal_up_to_their_numbers() -> None:
    assert said("took 17 ms", "stdout") == said("took 4 ms", "stdout") == "log db.1: took # ms"
    assert signal("log db.1: took # ms") == "lines"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"kind": "sometimes"}, ("sometimes", "true")),
        ({"kind": "sometimes", "condition": False}, ("sometimes", "false")),
        ({"kind": "always", "condition": False}, ("always", "false")),
        ({"kind": "reachability", "must": False}, ("unreachable", "true")),
    ],
)
def test_an_assertion_is_seen_with_each_outcome(
    given: dict[str, Any], expected: tuple[str, str]
) -> None:
    found = asserted(**given)
    assert found == f"assertion {expected[0]} {expected[1]}: a leader is chosen"
    assert assertion(found) == ("a leader is chosen", *expected)
    assert signal(found) == "assertions"


def test_what_is_only_declared_shows_nothing_new() -> None:
    """A program that starts declares all its assertions at once."""
    assert asserted("sometimes", hit=False, condition=False) == ""


@pytest.mark.parametrize("other", ["log db.1: assertion", "assertion x: y", "exit db.1 1", ""])
def test_other_signs_are_no_assertions(other: str) -> None:
    assert assertion(other) is None


def guided(kind: str, data: object) -> str:
    body = {"guidance_type": kind, "message": "queue", "id": "q", "guidance_data": data}
    return said({"antithesis_guidance": body})


@pytest.mark.parametrize(
    ("left", "right", "level"),
    [
        (3, 3, "0"), (7, 3, "4"), (3, 7, "-4"), (1000, 0, "1024"), (1020, 0, "1024"),
        (0.52, 0, "0.5"), (-(10**400), 0, "-9.47089e+299"), (1e308, -1e308, "9.47089e+299"),
    ],
)  # fmt: skip
def test_how_near_it_came_is_rounded_to_few_levels(left: Any, right: Any, level: str) -> None:
    told = guided("numeric", {"left": left, "right": right})
    assert told == f"guided db.1 queue: {level} apart"


def test_other_guidance_is_what_was_given() -> None:
    assert guided("boolean", {"b": True, "a": False}) == 'guided db.1 queue: {"a":false,"b":true}'
    assert guided("numeric", None) == said({"antithesis_guidance": 5}) == ""
    assert signal(guided("json", [1])) == "assertions"


def test_what_happens_to_containers_are_events() -> None:
    exit = wire.Event(5, "container.exit", {"name": "db.1", "code": "1", "signal": "0"})
    assert sign(from_guest(exit)) == "exit db.1 1" and signal("exit db.1 1") == "events"
