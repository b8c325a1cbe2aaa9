"""What a replay emits is compared with the recorded events: one by one, also at the boundaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.events.event import Event, EventLog
from branchpoint.events.eventfile import Gap
from branchpoint.guest.wire import TICK
from branchpoint.timeline.replaying.echo import Echo, Otherwise, news

TIMES = [TICK * n for n in (10, 20, 30, 40, 50)]
START, END = TICK * 15, TICK * 55


def said(at: int, text: str = "") -> Event:
    return Event(at=at, source="container", container="db.1", stream="out", text=text or f"at {at}")


def log(*events: Event) -> EventLog:
    made = EventLog()
    made.extend(events)
    return made


KNOWN = [said(at) for at in TIMES]


def echo(start: int = START, end: int = END, gaps: tuple[Gap, ...] = ()) -> Echo:
    return Echo(log(*KNOWN).columns(), start, end, gaps)


@given(st.lists(st.integers(1, 5), max_size=4))
def test_the_same_is_no_difference_however_it_is_cut(cuts: list[int]) -> None:
    listening, left = echo(), KNOWN[1:]
    for count in cuts:
        listening.hear(left[:count])
        left = left[count:]
    listening.hear(left)
    listening.finish(END)


def test_another_text_is_a_difference() -> None:
    listening = echo()
    listening.hear(KNOWN[1:2])
    with pytest.raises(Otherwise) as found:
        listening.hear([KNOWN[2], said(TIMES[3], "else")])
    assert (found.value.expected, found.value.heard) == (KNOWN[3], said(TIMES[3], "else"))


@pytest.mark.parametrize("late", [-1, 1])
def test_another_instant_is_a_difference(late: int) -> None:
    with pytest.raises(Otherwise) as found:
        echo().hear([said(TIMES[1] + late, KNOWN[1].text)])
    assert found.value.expected == KNOWN[1]


def test_one_too_many_is_a_difference() -> None:
    listening = echo()
    listening.hear(KNOWN[1:])
    with pytest.raises(Otherwise) as found:
        listening.hear([said(END - 1)])
    assert found.value.expected is None


def test_silence_is_a_difference() -> None:
    listening = echo()
    listening.hear(KNOWN[1:3])
    listening.finish(TIMES[3] - 1)
    with pytest.raises(Otherwise) as found:
        listening.finish(END)
    assert (found.value.expected, found.value.heard) == (KNOWN[3], None)


def test_the_last_one_may_still_be_being_told() -> None:
    listening = echo()
    listening.hear(KNOWN[1:3])
    listening.finish(TIMES[3] + TICK - 1)
    with pytest.raises(Otherwise):
        listening.finish(TIMES[3] + TICK)


def test_one_that_was_being_told_at_the_start_is_heard_after_it() -> None:
    listening = echo(start=TIMES[1])
    listening.hear(KNOWN[1:4])
    with pytest.raises(Otherwise):
        echo(start=TIMES[1]).hear([said(TIMES[1], "else")])
    with pytest.raises(Otherwise):
        echo(start=TIMES[1]).hear([said(TIMES[1] - 1)])


def test_what_comes_after_the_end_is_not_looked_at() -> None:
    listening = echo(end=TIMES[2])
    listening.hear([*KNOWN[1:3], said(TIMES[2] + 1, "new")])
    listening.finish(END)


def test_nothing_is_known_in_a_gap_but_all_around_it() -> None:
    gap = Gap(1, 1, TIMES[1], TIMES[3])
    rest = [KNOWN[1], KNOWN[3], KNOWN[4]]
    listening = Echo(log(KNOWN[0], *rest).columns(), START, END, (gap,))
    listening.hear(KNOWN[1:])
    listening.finish(END)
    listening = Echo(log(KNOWN[0], *rest).columns(), START, END, (gap,))
    with pytest.raises(Otherwise):
        listening.hear([*KNOWN[1:4], said(TIMES[4], "else")])
    endless = Echo(log(*KNOWN[:2]).columns(), START, END, (Gap(1, 1, TIMES[1], None),))
    endless.hear(KNOWN[1:])
    endless.finish(END)


def test_a_log_does_not_take_what_it_has() -> None:
    known = log(*KNOWN[:3])
    assert news(known, KNOWN[2:]) == KNOWN[3:]
    assert news(known, KNOWN[3:]) == KNOWN[3:]
    assert news(EventLog(), KNOWN) == KNOWN
    with pytest.raises(Otherwise):
        news(known, [said(TIMES[2], "else"), *KNOWN[3:]])
    with pytest.raises(Otherwise):
        news(log(KNOWN[3]), KNOWN[2:])
