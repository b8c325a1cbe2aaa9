"""Endless output: what is kept of it, and that a replay leaves out the same."""

from __future__ import annotations

import pytest

from branchpoint.events.event import Event, EventLog
from branchpoint.guest import wire
from branchpoint.timeline.commands.bounding import CUT, HEAD, TAIL, Bound
from branchpoint.timeline.replaying.echo import Echo, Otherwise, news

LINE = b"x" * 1000
COUNT = 3 * HEAD // len(LINE)


def line(at: int, data: bytes = LINE, source: str = "process/7") -> wire.Line:
    return wire.Line(at, source, "out", data)


ENDLESS = [line(10 * n, b"%d " % n + LINE) for n in range(COUNT)]


def told(records: list[wire.Record], step: int = 100) -> tuple[EventLog, Bound]:
    """The log of a branch with these events, read in pieces of this many."""
    log = EventLog()
    bound = Bound(log.columns())
    for start in range(0, len(records), step):
        log.extend(news(log, bound.events(records[start : start + step], 0)))
    return log, bound


def events(log: EventLog) -> list[Event]:
    columns = log.columns()
    return [columns.event(position) for position in range(len(columns))]


def test_the_beginning_and_the_end_are_kept_and_the_rest_is_counted() -> None:
    log, bound = told(ENDLESS)
    *head, cut = events(log)
    assert cut.type == CUT and cut.fields == {"id": "7"}
    tail = bound.tails["7"]
    assert [e.text.encode() for e in head] == [each.data for each in ENDLESS[: len(head)]]
    assert list(tail.end) == ENDLESS[-len(tail.end) :]
    assert len(head) + tail.lines + len(tail.end) == COUNT
    assert tail.bytes == sum(len(e.data) + 1 for e in ENDLESS[len(head) : -len(tail.end)])
    assert HEAD <= sum(len(e.text) for e in head) < HEAD + 16 * len(LINE)
    assert TAIL - 2 * len(LINE) < sum(len(e.data) for e in tail.end) <= TAIL


@pytest.mark.parametrize("step", [1, 3, 10_000])
def test_it_does_not_matter_in_which_pieces_it_came(step: int) -> None:
    assert events(told(ENDLESS, step)[0]) == events(told(ENDLESS)[0])


def test_what_others_say_is_kept_and_so_is_what_is_short() -> None:
    others = [line(each.at + 1, each.data, "container/db.1") for each in ENDLESS]
    few = [line(each.at + 2, b"few", "process/8") for each in ENDLESS[:100]]
    records: list[wire.Record] = sorted([*ENDLESS, *others, *few], key=lambda each: each.at)
    ended = wire.Event(10**9, "process.exit", {"id": "7", "code": "0", "signal": "0"})
    log, _ = told([*records, ended])
    found = events(log)
    assert sum(e.container == "db.1" for e in found) == COUNT
    assert sum(e.fields.get("id") == "8" for e in found) == 100
    assert found[-1].type == "process.exit"
    assert len(log) < COUNT + 100 + COUNT // 2


def test_empty_lines_are_not_kept_for_ever() -> None:
    log, bound = told([line(n, b"") for n in range(100_000)], 10_000)
    assert len(log) < 40_000 and len(bound.tails["7"].end) < 4000


@pytest.mark.parametrize("share", [0.0, 0.1, 0.33, 0.34, 0.5, 0.9])
def test_a_replay_from_anywhere_says_the_same(share: float) -> None:
    log, _ = told(ENDLESS)
    known = log.columns()
    cut = events(log)[-1].at
    start = int(share * ENDLESS[-1].at)
    for since in (start, cut - 10, cut - 1, cut, cut + 1):
        bound = Bound(known, again=True)
        echo = Echo(known, since, 10**9)
        said: list[wire.Record] = [each for each in ENDLESS if each.at > since]
        for begin in range(0, len(said), 77):
            echo.hear(bound.events(said[begin : begin + 77], 0))
        echo.finish(10**9)
    with pytest.raises(Otherwise):
        Echo(known, -1, 10**9).hear(Bound(known, again=True).events([line(0, b"other")], 0))


def test_a_branch_off_its_middle_goes_on_as_it_would_have() -> None:
    log, _ = told(ENDLESS)
    for fork in (ENDLESS[500].at, events(log)[-1].at - 1, events(log)[-1].at, ENDLESS[-9].at):
        branch = log.fork(fork)
        bound = Bound(branch.columns())
        late = [each for each in ENDLESS if each.at >= fork]  # one was just being told
        branch.extend(news(branch, bound.events(late, 0)))
        assert events(branch) == events(log)
