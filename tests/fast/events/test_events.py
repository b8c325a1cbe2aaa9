"""Events: filters, combinations and display; compared with plain Python on random histories."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recordings import ORIGIN, SECOND, event

from branchpoint.clock import Time
from branchpoint.errors import BranchpointError
from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.events.queries import Where, parse_query
from branchpoint.events.reports import from_guest
from branchpoint.guest import wire

EVENTS = [
    event(0, "ready"),
    event(1, "GET /a", container="web.1"),
    event(1, "oops", container="web.2", stream="err"),
    event(2.5, "", source="life", type="container.exit", stream="", fields={"code": "1"}),
    event(3, "Traceback (most recent call last)", container="standby.replicator.1"),
    event(4, "GET /b", container="web.1"),
]


def log_of(events: list[Event]) -> EventLog:
    log = EventLog()
    log.extend(events)
    return log


def set_of(events: list[Event]) -> EventSet:
    return EventSet(log_of(events).columns(), origin=ORIGIN)


ALL = set_of(EVENTS)


def texts(events: EventSet) -> list[str]:
    return [e.text for e in events]


def test_where() -> None:
    assert texts(ALL.where(container="web.1")) == ["GET /a", "GET /b"]
    assert len(ALL.where(container="web")) == 3  # the service
    assert len(ALL.where(container="we")) == 0
    assert texts(ALL.where(container="standby.replicator")) == [EVENTS[4].text]
    assert len(ALL.where(container="standby")) == 0  # a service of that name has numbers only
    assert len(ALL.where(container=["web.2", "standby.*"])) == 2
    assert len(ALL.where(container=[])) == 0
    assert len(ALL.where(type="container.*")) == 1
    assert len(ALL.where(stream="err")) == 1
    assert texts(ALL.where(text="GET")) == ["GET /a", "GET /b"]
    assert texts(ALL.where(regex=r"/[b-z]$")) == ["GET /b"]
    assert texts(ALL.where(start=1, end=2.5, type="log")) == ["GET /a", "oops"]
    assert len(ALL.where(code=1)) == 1
    assert len(ALL.where(code=2)) == 0
    assert len(ALL.where(Where(text="GET"), start=2)) == 1
    assert texts(ALL.filter(lambda e: e.vtime == 4.0)) == ["GET /b"]


@pytest.mark.parametrize("wrong", [{"container": 5}, {"text": 5}, {"regex": "("}, {"type": [1]}])
def test_wrong_questions(wrong: dict[str, object]) -> None:
    with pytest.raises(BranchpointError):
        ALL.where(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "meant"), [("containr", "container"), ("typ", "type"), ("txt", "text")]
)
def test_a_misspelt_condition_is_no_field(name: str, meant: str) -> None:
    with pytest.raises(BranchpointError, match=f"no event has a field '{name}'") as caught:
        ALL.where(**{name: "x"})
    assert caught.value.hint == f'did you mean "{meant}"?'
    assert len(ALL.where(fresh="x")) == 0, "others may have it later"


def test_sets() -> None:
    gets, web1 = ALL.where(text="GET"), ALL.where(container="web.*")
    assert texts(web1 - gets) == ["oops"]
    assert texts(gets & ALL.where(start=2)) == ["GET /b"]
    assert len(gets | web1) == 3
    assert len(~web1) == 3
    assert not ALL.where(text="nothing")
    assert ALL.where(text="nothing").first is None
    with pytest.raises(BranchpointError, match="different timelines"):
        _ = gets | set_of(EVENTS)
    with pytest.raises(BranchpointError, match="not a set of events"):
        _ = gets | {"GET"}  # type: ignore[operator]


def test_a_set_or_a_short_form_is_a_condition_and_queries_combine_with_sets() -> None:
    gets, query = ALL.where(text="GET"), Where(container="web.*")
    assert texts(ALL.where(gets, start=2)) == ["GET /b"]
    assert texts(ALL.where("log:web:GET")) == ["GET /a", "GET /b"]
    assert texts(query - gets) == ["oops"]
    assert (len(query | gets), len(query & gets)) == (3, 2)
    with pytest.raises(BranchpointError, match="not a set of events"):
        ALL.where(5)  # type: ignore[arg-type]
    with pytest.raises(BranchpointError, match="not a query"):
        ALL.where("exit")
    for regex in (b"x", re.compile(b"x"), 5):
        with pytest.raises(BranchpointError, match="not a regular expression for texts"):
            ALL.where(regex=regex)  # type: ignore[arg-type]


def test_sets_of_one_history_combine_also_across_its_first_event() -> None:
    recorded = log_of(EVENTS[:3])
    log, history = recorded.fork(EVENTS[2].at), object()
    before = EventSet(log.columns(), history=history).where(type="log")
    log.extend(EVENTS[3:])
    after = EventSet(log.columns(), history=history)
    assert len(after & before) == 5
    with pytest.raises(BranchpointError, match="different timelines"):
        _ = after & EventSet(recorded.columns(), history=object())


def test_instants() -> None:
    moment = SimpleNamespace(at=ORIGIN + SECOND)
    branch = SimpleNamespace(end=moment)
    for instant in (1, 1.0, Time.seconds(1), "1s", EVENTS[1], moment, branch):
        assert len(ALL.up_to(instant)) == 3
        assert len(ALL.after(instant)) == 3


def test_neighbours() -> None:
    exits, errors = ALL.where(type="container.exit"), ALL.where(stream="err")
    assert len(exits.preceded_by(errors, within=1.5)) == 1
    assert len(exits.preceded_by(errors, within=Time.seconds(1.499999999))) == 0
    assert len(exits.not_preceded_by(errors, within=1)) == 1
    assert len(errors.followed_by(exits)) == 1
    assert len(errors.not_followed_by(exits)) == 0
    assert len(exits.preceded_by(exits)) == 0
    assert texts(ALL.where(text="GET").followed_by(ALL.where(text="GET"))) == ["GET /a"]
    with pytest.raises(BranchpointError):
        exits.preceded_by(errors, within=-1)


def test_parts() -> None:
    assert texts(ALL.head(2)) == ["ready", "GET /a"]
    assert texts(ALL.tail(1)) == ["GET /b"]
    assert len(ALL.tail(0)) == 0
    assert texts(ALL.where(text="GET")[::-1]) == ["GET /a", "GET /b"]  # always in order of time
    assert ALL[-1].text == "GET /b"
    with pytest.raises(IndexError):
        ALL[6]
    assert ALL.where(text="GET").map(lambda e: e.vtime) == [1.0, 4.0]


def test_moments() -> None:
    made = EventSet(log_of(EVENTS).columns(), origin=ORIGIN, moment_of=lambda at: at - ORIGIN)
    assert made.where(text="GET").moments() == [SECOND, 4 * SECOND]
    with pytest.raises(BranchpointError):
        ALL.moments()


def test_a_set_never_changes_and_can_be_asked_again() -> None:
    log = log_of(EVENTS)
    gets = EventSet(log.columns(), origin=ORIGIN).where(text="GET")
    log.append(event(5, "GET /c"))
    assert len(gets) == 2
    assert len(gets.on(log.columns())) == 3
    assert gets.query.first(log.columns(), 6) == 6
    assert gets.query.first(log.columns(), 7) is None


def test_forks_share_the_past_only() -> None:
    log = log_of(EVENTS)
    fork, other = log.fork(ORIGIN + SECOND), log.fork(ORIGIN + SECOND)
    fork.append(event(2, "mine", container="new.1", fields={"a": "b"}))
    log.append(event(6, "late", fields={"c": "d"}))
    other.append(event(9, "other"))
    assert texts(EventSet(fork.columns())) == ["ready", "GET /a", "oops", "mine"]
    assert EventSet(fork.columns())[3].fields == {"a": "b"}
    assert EventSet(other.columns())[3].fields == {}
    assert len(EventSet(log.columns())) == 7


def test_time_does_not_go_back() -> None:
    log = log_of(EVENTS)
    with pytest.raises(ValueError, match="order of time"):
        log.append(event(3, fields={"x": "y"}))
    assert len(log) == 6
    assert EventSet(log.columns())[-1].fields == {}


def test_frame() -> None:
    frame = ALL.frame("code")
    names = ["vtime", "source", "container", "stream", "text", "type", "fields", "code"]
    assert list(frame.columns) == names
    assert frame.vtime.tolist() == [0, 1, 1, 2.5, 3, 4]
    assert frame.code.tolist() == ["", "", "", "1", "", ""]
    assert list(set_of([]).frame().columns) == names[:-1]
    with pytest.raises(BranchpointError):
        ALL.frame("text")


# Records from the guest


def test_lines() -> None:
    line = from_guest(wire.Line(5, "container/db.1", "err", b"\x1b[31mred\xff\x1b[0m"))
    assert (line.at, line.source, line.container, line.stream, line.type) == (
        5, "container", "db.1", "err", "log",
    )  # fmt: skip
    assert line.text == "\x1b[31mred\\xff\x1b[0m"
    assert from_guest(wire.Line(5, "kernel", "out", b"oom")).source == "kernel"
    assert from_guest(wire.Line(5, "process/12", "out", b"")).fields == {"id": "12"}


def test_agent_events() -> None:
    fields = {"name": "db.1", "code": "0", "signal": "9"}
    ended = from_guest(wire.Event(5, "container.exit", fields))
    assert (ended.source, ended.container, ended.text) == ("life", "db.1", "killed by SIGKILL")
    assert ended.fields == {"code": "0", "signal": "9"}
    failed = from_guest(wire.Event(5, "error", {"about": "put", "text": "no space"}))
    assert (failed.source, failed.text) == ("agent", "no space")


# Queries as words


def test_parse_query() -> None:
    assert len(ALL.where(parse_query("exit:*"))) == 1
    assert len(ALL.where(parse_query("exit:web.*"))) == 0
    assert texts(ALL.where(parse_query("log:web.1:GET /b"))) == ["GET /b"]
    assert len(ALL.where(parse_query("log:standby.replicator.1:Traceback (most"))) == 1
    assert len(ALL.where(parse_query("event:container.exit:db"))) == 1
    assert parse_query("exit:*")(EVENTS[3])
    assert not parse_query("exit:*")(EVENTS[0])


@pytest.mark.parametrize(
    "text",
    ["", "exit", "exit:", "log:web.1", "log::x", "log:a:", "event:", "end:*", ":", "event::x"],
)
def test_wrong_query_words(text: str) -> None:
    with pytest.raises(BranchpointError, match="is not a query"):
        parse_query(text)


# Shown


def test_repr_is_short_and_plain() -> None:
    many = set_of([event(n / 10, f"line {n}") for n in range(1000)])
    lines = repr(many).splitlines()
    assert len(lines) == 20
    assert lines[-1] == "... and 982 more of 1000 events"
    assert "5 events" in repr(ALL.head(5))
    assert repr(ALL[:0]) == "no events"


HOSTILE = [
    "<script>alert(1)</script>",
    "\x1b]0;title\x07\x1b[2J\x1b[31m\rall gone\x00",
    "\u202etxt.exe\u200b",
    "</code></td></tr></table><img src=x onerror=alert(1)>",
    "&" * 100_000,
    "\x1b[" * 40_000,
    "\U0001f600" * 1000,
    "a\nb\u2028c",
]


def test_hostile_lines_are_inert() -> None:
    nasty = set_of([event(1, text, container=text[:150]) for text in HOSTILE * 3])
    html = nasty._repr_html_()
    assert len(html.encode()) < 20_000
    assert set(re.findall(r"</?([a-z]+)", html)) <= {
        "table", "thead", "tbody", "tr", "td", "th", "code", "p",
    }  # fmt: skip
    assert not re.search("[\x00-\x1f\x7f\u202e\u200b\u2028]", html)
    plain = repr(nasty)
    assert len(plain.splitlines()) == 20
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e\u200b\u2028]", plain)


@given(st.text())
def test_any_text_can_be_shown(text: str) -> None:
    shown = set_of([event(1, text)])
    assert len(repr(shown).splitlines()) == 3
    assert "<script" not in shown._repr_html_()


# Against plain Python

NAMES = st.sampled_from(["a.1", "a.2", "b.1", "b", ""])
HISTORY = st.lists(
    st.builds(
        lambda gap, container, text, code: (gap, container, text, code),
        st.integers(0, 3), NAMES, st.sampled_from(["x", "xy", "z"]), st.sampled_from(["", "1"]),
    ),
    max_size=30,
)  # fmt: skip


@given(HISTORY, NAMES, st.integers(0, 5), st.integers(0, 40))
def test_like_a_simple_list(
    history: list[tuple[int, str, str, str]], name: str, within: int, instant: int
) -> None:
    events, at = [], 0
    for gap, container, text, code in history:
        at += gap
        fields = {"code": code} if code else {}
        events.append(Event(at=at, source="s", container=container, text=text, fields=fields))
    made = EventSet(log_of(events).columns())
    number = {id(e): n for n, e in enumerate(events)}

    def same(found: EventSet, wanted: list[Event]) -> None:
        assert found.positions.tolist() == [number[id(e)] for e in wanted]

    picked = made.where(container=name, text="x")
    service = {"b": ("b", "b.1")}.get(name, (name,))
    plain = [e for e in events if e.container in service and "x" in e.text]
    coded = made.where(code=1)
    same(picked, plain)
    same(~picked, [e for e in events if e not in plain])
    same(picked | coded, [e for e in events if e in plain or e.fields])
    same(picked - coded, [e for e in plain if not e.fields])
    same(made.up_to(Time.nanoseconds(instant)), [e for e in events if e.at <= instant])
    same(picked.after(Time.nanoseconds(instant)), [e for e in plain if e.at > instant])

    def near(e: Event, before: bool) -> bool:
        me = number[id(e)]
        others = events[:me] if before else events[me + 1 :]
        return any(o.fields and abs(o.at - e.at) <= within for o in others)

    span = Time.nanoseconds(within)
    same(picked.preceded_by(coded, span), [e for e in plain if near(e, True)])
    same(picked.not_preceded_by(coded, span), [e for e in plain if not near(e, True)])
    same(picked.followed_by(coded, span), [e for e in plain if near(e, False)])
    same(picked.not_followed_by(coded, span), [e for e in plain if not near(e, False)])
    same(picked[1:3], plain[1:3])
    same(picked[1:][:2], plain[1:3])
    assert made.frame("code").code.tolist() == [e.fields.get("code", "") for e in events]


def test_a_million_events() -> None:
    log = EventLog()
    block = [event(0, f"request {n} done", container=f"web.{n % 7}") for n in range(10_000)]
    for _ in range(100):
        log.extend(block) if not log else log.extend_columns(log_of(block).columns())
        block = [event(len(log) / 1e5, e.text, container=e.container) for e in block]
    assert len(log) == 1_000_000
    there = sum(e.container == "web.3" and "77" in e.text for e in block)
    assert there > 0
    assert len(EventSet(log.columns()).where(container="web.3", text="77")) == 100 * there
