"""Queries judge events that come one after another as they select them afterwards."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import ORIGIN, event

from branchpoint.errors import BranchpointError
from branchpoint.events.event import EventLog, EventSet
from branchpoint.events.following import check, follow
from branchpoint.events.queries import Both, Either, Except, Near, Part, Query, Where

SECOND = 1_000_000_000
SPANS = st.none() | st.integers(0, 3 * SECOND)
ENDS = st.none() | st.integers(0, 3)
PARTS = st.builds(slice, ENDS, ENDS, st.none() | st.integers(1, 2))


def grown(inner: st.SearchStrategy[Query]) -> st.SearchStrategy[Query]:
    """Those that can be told of an event when it happens."""
    near = st.builds(Near, inner, inner, SPANS, st.just(True), st.booleans())
    two = st.builds(Both, inner, inner) | st.builds(Either, inner, inner)
    return near | two | st.builds(Except, inner) | st.builds(Part, inner, PARTS)


QUERIES = st.recursive(st.sampled_from([Where(text=t) for t in ("a", "b", "")]), grown)
LINES = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["a", "b", "ab"])), max_size=8)


@given(QUERIES, LINES, st.integers(0, 8))
def test_a_query_matches_as_events_come_what_it_selects_afterwards(
    query: Query, lines: list[tuple[int, str]], known: int
) -> None:
    events = [event(second, text) for second, text in sorted(lines)]
    log, whole = EventLog(), EventLog()
    log.extend(events[:known])
    whole.extend(events)
    test = follow(query, log.columns())
    again = copy.deepcopy(test)  # that of another future from the same fork
    expected = [p for p in query.all(whole.columns()).tolist() if p >= known]
    for each in (test, again):
        assert [p for p, e in enumerate(events) if p >= known and each(e)] == expected


def test_a_query_on_single_events_stays_as_fast_as_it_is() -> None:
    query = (Where(text="a") | Where(text="b")) - Where(text="c")
    test = follow(query, EventLog().columns())
    assert test is query and copy.deepcopy(test) is query


ALL = EventSet(EventLog().columns(), origin=ORIGIN)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (ALL.followed_by(ALL), "what follows an event"),
        (ALL - ALL.not_followed_by(ALL, within=1), "what follows an event"),
        (ALL.tail(3), "the last ones"),
        (ALL[:-1].preceded_by(ALL), "the last ones"),
    ],
)
def test_what_only_later_events_can_tell_is_refused(chosen: Any, said: str) -> None:
    with pytest.raises(BranchpointError, match=said):
        check(chosen.query)
