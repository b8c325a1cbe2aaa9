"""What is seen of a future, as signs that are equal where the same kind of thing happens."""

from __future__ import annotations

import json
from typing import Any

import pytest
from recordings import event

from branchpoint.events.reports import from_guest
from branchpoint.futures.draws import LONGEST_CAUSE
from branchpoint.guest import wire
from branchpoint.search.signs import asserted as asserted_sign
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


def test_a_long_message_is_cut_to_the_same_text_whatever_stands_before_it() -> None:
    """Or one assertion would be judged as two, of which one is never met."""
    long = "a leader " * 40

    def told(kind: str, text: str, **fields: str) -> tuple[str, str, str]:
        named = {"type": kind, "hit": "1"} | fields
        sign_ = asserted_sign(event(1, text, type="sdk.assert", fields=named))
        assert len(sign_) <= LONGEST_CAUSE
        found = assertion(sign_)
        assert found is not None
        return found

    outcomes = [
        told(kind, long, **how)
        for kind in ("sometimes", "always_or_unreachable")
        for how in ({"condition": "1"}, {"condition": "0"}, {"hit": "0"})
    ]
    assert len({message for message, _, _ in outcomes}) == 1
    assert outcomes[0][0].startswith("a leader a leader")
    assert told("always", long + "is chosen")[0] != outcomes[0][0], "only their ends differ"
    short = "x" * 150
    assert told("always", short)[0] == short


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


def test_long_guidance_is_cut_where_its_end_still_tells() -> None:
    def long(message: str, data: object) -> str:
        told = said({"antithesis_guidance": {
            "guidance_type": "json", "message": message, "id": "q", "guidance_data": data,
        }})  # fmt: skip
        assert len(told) <= LONGEST_CAUSE
        return told

    message, data = "queue " * 50, ["x" * 300]
    assert long(message, data) == long(message, data)
    assert len({long(message, data), long(message, [*data, 1]), long(message + "b", data)}) == 3


def test_other_guidance_is_what_was_given() -> None:
    assert guided("boolean", {"b": True, "a": False}) == 'guided db.1 queue: {"a":false,"b":true}'
    assert guided("numeric", None) == said({"antithesis_guidance": 5}) == ""
    assert signal(guided("json", [1])) == "assertions"


def test_what_happens_to_containers_are_events() -> None:
    exit = wire.Event(5, "container.exit", {"name": "db.1", "code": "1", "signal": "0"})
    assert sign(from_guest(exit)) == "exit db.1 1" and signal("exit db.1 1") == "events"
