"""The log explorer without a browser: what it shows, what it answers, what it leaves behind."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from manyevents import many
from recordings import ORIGIN, SECOND, event

import branchpoint as bp
from branchpoint.timeline.events import Event, EventLog, EventSet
from branchpoint.timeline.history import History, Point
from branchpoint.views import identity
from branchpoint.views.log import LogView
from branchpoint.views.view import LARGEST, STATIC

EVENTS = [
    event(0.5, "Linux", source="kernel", container=""),
    event(1, "Ready"),
    event(2, "GET /a", container="web.1"),
    event(3, "cannot write", stream="err"),
    event(4, "code=1", source="life", stream="", type="container.exit", fields={"code": "1"}),
    event(6, "GET /b", container="web.1"),
]


def of(events: list[Event], **options: Any) -> EventSet:
    log = EventLog()
    log.extend(events)
    return EventSet(log.columns(), origin=ORIGIN, **options)


def texts(view: LogView) -> list[str]:
    """What the browser shows of a short log."""
    return [row[5] for row in view.state["first"]]


class Browser:
    """The other side of a view's messages."""

    def __init__(self, view: LogView, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view = view
        self.heard: list[dict[str, Any]] = []
        monkeypatch.setattr(view, "send", self.heard.append)

    def ask(self, what: str, **rest: Any) -> list[dict[str, Any]]:
        self.heard.clear()
        self.view._asked(self.view, {"ask": what, **rest}, [])
        json.dumps([self.heard, self.view.state, self.view.chosen])  # all of it can be sent
        return [answer for answer in self.heard if answer["answer"] != "done"]


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Browser:
    return Browser(of(EVENTS, moment_of=lambda at: at).explore(), monkeypatch)


# -- filters


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({}, ["Linux", "Ready", "GET /a", "cannot write", "code=1", "GET /b"]),
        ({"text": "get"}, ["GET /a", "GET /b"]),
        ({"text": "get", "case": True}, []),
        ({"text": "GET", "case": True}, ["GET /a", "GET /b"]),
        ({"text": "/."}, []),
        ({"regex": "^get /[ab]$"}, ["GET /a", "GET /b"]),
        ({"regex": "(?i)^get", "case": True}, ["GET /a", "GET /b"]),
        ({"container": "web"}, ["GET /a", "GET /b"]),
        ({"container": ["web.1", "(kernel)"]}, ["Linux", "GET /a", "GET /b"]),
        ({"container": "(kernel)"}, ["Linux"]),
        ({"stream": "err"}, ["cannot write"]),
        ({"type": "container.*"}, ["code=1"]),
        ({"start": 2, "end": "3"}, ["GET /a", "cannot write"]),
        ({"preceded_by": "exit:*"}, ["GET /b"]),
        ({"preceded_by": ("exit:*", 1)}, []),
        ({"text": "GET", "not_preceded_by": "exit:*"}, ["GET /a"]),
        ({"followed_by": ("Ready", 0.5)}, ["Linux"]),
        ({"type": "container.exit", "not_followed_by": ("log:web:GET", 1)}, ["code=1"]),
        (
            {"preceded_by": "Ready", "followed_by": ("exit:db.1", 1)},
            ["cannot write"],
        ),
    ],
)
def test_a_filter_shows_what_fits_and_says_it_in_python(
    filters: dict[str, Any], shown: list[str]
) -> None:
    events = of(EVENTS)
    view = events.explore(**filters)
    assert texts(view) == shown
    assert [e.text for e in view.events] == shown
    code = view.state["code"]
    assert code.startswith(("events", "run.events", "(run.events"))
    again = EventSet.explore(_evaluated(code, events))
    assert texts(again) == shown


def _evaluated(code: str, events: EventSet) -> EventSet:
    """What the expression gives that the view offers to copy."""

    class Run:
        pass

    run = Run()
    run.events = events  # type: ignore[attr-defined]
    found: EventSet = eval(code, {"run": run})
    return found


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"regex": "("}, "not a regular expression"),
        ({"start": "soon"}, "'soon' is not a length of time"),
        ({"preceded_by": "exit:"}, "not a query"),
        ({"preceded_by": ("exit:*", "-1")}, "negative"),
        ({"text": "a", "regex": "b"}, "cannot both"),
        ({"colour": "red"}, "colour is no filter"),
    ],
)
def test_a_filter_that_means_nothing_says_so(filters: dict[str, Any], said: str) -> None:
    with pytest.raises(bp.BranchpointError, match=said.replace("(", r"\(")):
        of(EVENTS).explore(**filters)


def test_a_filter_set_by_the_browser_is_the_views(browser: Browser) -> None:
    browser.ask(
        "filter", filter={"text": "GET", "near": [{"how": "preceded_by", "query": "cannot"}]}
    )
    assert [e.text for e in browser.view.events] == ["GET /b"]
    browser.view.filter()
    assert browser.view.state["count"] == len(EVENTS)


def test_a_browsers_nonsense_is_refused_in_words(browser: Browser) -> None:
    before = browser.view.state
    for nonsense in (
        {"text": "[", "is_regex": True},
        {"near": [{"how": "__init__", "query": "x"}]},
        {"near": [{"how": "preceded_by"}]},
        {"container": [1]},
        None,
    ):
        (answer,) = browser.ask("filter", filter=nonsense)
        assert answer["answer"] == "error" and answer["text"]
    assert browser.ask("close") == [] and browser.ask("nothing") == []
    assert browser.view.state == before


# -- rows


def test_rows_come_by_the_window(browser: Browser) -> None:
    generation = browser.view.state["generation"]
    (answer,) = browser.ask("rows", generation=generation, start=2, count=2)
    assert [row[5] for row in answer["rows"]] == ["GET /a", "cannot write"]
    assert answer["rows"][0][:5] == [2, 2 * SECOND, "web.1", "out", "log"]
    assert browser.ask("rows", generation=generation - 1, start=0, count=2) == []
    assert browser.ask("rows", generation=generation, start=5, count=10**9)[0]["rows"][0][0] == 5


def test_a_chosen_row_gives_its_moment_and_all_of_its_text(browser: Browser) -> None:
    long = event(7, "x" * 30_000)
    view = of([*EVENTS, long]).explore()
    assert len(view.state["first"][-1][5]) == 2000
    view._on_select({"position": 6})
    assert view.chosen["text"] == long.text
    assert view.moment is None, "these events belong to no recording"
    browser.view._events.moment_of = _Moment  # type: ignore[assignment]
    browser.ask("select", position=4)
    assert browser.view.moment.at == ORIGIN + 4 * SECOND
    assert browser.view.chosen["id"] == f"at {ORIGIN + 4 * SECOND}"
    assert browser.view.chosen["fields"] == {"code": "1"}
    browser.ask("select", position=99)
    assert browser.view.event.at == EVENTS[4].at


class _Moment:
    def __init__(self, at: int) -> None:
        self.at = at
        self.id = f"at {at}"


def test_a_vtime_leads_to_the_next_row(browser: Browser) -> None:
    browser.ask("filter", filter={"container": ["web.1"]})
    assert browser.ask("seek", vtime="2.5") == [{"answer": "seek", "row": 1}]
    view = browser.view
    view._events.moment_of = _Moment  # type: ignore[assignment]
    assert view.select(2.5).event.at == EVENTS[5].at
    with pytest.raises(bp.BranchpointError, match="nothing is shown"):
        view.select(100)


# -- a branch that runs


def test_a_branch_is_followed_while_it_runs() -> None:
    past = EventLog()
    past.extend(EVENTS)
    root = History([], Point(ORIGIN + 7 * SECOND, 0), past)
    branch = root.branch(root.point(ORIGIN + 5 * SECOND))
    events = EventSet(branch.log.columns(), origin=ORIGIN, history=branch)
    view = events.where(container=["db", "web"]).explore(text="GET")
    assert (view.following, view.state["live"], texts(view)) == (True, True, ["GET /a"])
    generation = view.state["generation"]
    branch.log.append(event(5.5, "GET /c", container="web.1"))
    for watcher in branch.watchers:
        watcher(True)
    assert [row[5] for row in view.state["tail"][1]] == ["GET /a", "GET /c"]
    assert (view.state["count"], view.state["total"]) == (2, 5)
    assert view.state["generation"] == generation, "what is on the screen stays there"
    assert [e.text for e in view.events] == ["GET /a", "GET /c"]
    view.close()
    assert branch.watchers == []
    root_view = EventSet(past.columns(), origin=ORIGIN, history=root).explore()
    assert not root_view.following and not root_view.state["live"]


def test_what_is_near_is_asked_anew_when_a_branch_goes_on() -> None:
    root = History([], Point(ORIGIN, 0), EventLog())
    branch = root.branch(Point(ORIGIN, 0))
    branch.log.append(event(1, "sent"))
    view = EventSet(branch.log.columns(), origin=ORIGIN, history=branch).explore(
        text="sent", not_followed_by=("received", 1)
    )
    assert texts(view) == ["sent"]
    branch.log.append(event(1.5, "received"))
    branch.watchers[0](True)
    assert view.state["count"] == 0


# -- a million events


def test_a_slow_search_shows_what_it_has_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchpoint.views.rows._SLICE", 0)
    browser = Browser(many(of(EVENTS), 60_000).explore(), monkeypatch)
    browser.ask("filter", filter={"text": r"get /b #\d+", "is_regex": True})
    seen = [browser.view.state["scanned"]]
    monkeypatch.setattr("branchpoint.views.rows._SLICE", 0.001)
    while browser.view.state["scanned"] < 1:
        browser.ask("more", generation=browser.view.state["generation"])
        seen.append(browser.view.state["scanned"])
    assert len(seen) > 2 and seen == sorted(seen)
    assert browser.view.state["count"] == 10_000
    assert len(browser.view.events) == 10_000


def test_a_million_events_are_filtered_while_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    events = many(of(EVENTS))
    started = time.thread_time()
    browser = Browser(events.explore(), monkeypatch)
    assert time.thread_time() - started < 2  # 0.1 s on an idle computer
    browser.ask("filter", filter={"text": "warm up"})
    started = time.thread_time()
    browser.ask("filter", filter={"text": "cannot", "container": ["db.1"], "stream": ["err"]})
    while browser.view.state["scanned"] < 1:
        browser.ask("more", generation=browser.view.state["generation"])
    assert time.thread_time() - started < 2
    assert browser.view.state["count"] == len(events) // len(EVENTS)
    assert len(json.dumps(browser.view.state)) < 100_000


# -- what stays in the notebook


def test_the_saved_output_is_small_inert_and_the_same_again() -> None:
    nasty = "<script>alert(1)</script>\x1b]8;;http://x\x07\u202e" + "é" * 9000
    events = of([event(n / 100, nasty) for n in range(500)])
    identity.use(lambda: identity.Cell("1", "a", "events.explore()"))
    first, _ = events.explore()._repr_mimebundle_()
    identity.use(lambda: identity.Cell("2", "a", "events.explore()"))
    second, _ = events.explore()._repr_mimebundle_()
    identity.use(identity.Cell)
    assert first == second
    assert len(json.dumps(first)) < LARGEST
    html, plain = first["text/html"], first["text/plain"]
    assert STATIC in html and STATIC in plain
    assert "<script" not in html and "&lt;script" in html
    assert "\x1b" not in html + plain and "\u202e" not in html + plain
    assert "470 more" in html and "500 events" in html


def test_a_short_log_is_shown_whole() -> None:
    text = repr(of(EVENTS).explore(text="GET"))
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["2.000000", "6.000000"]
    assert "2 events" in text and "(?i)GET" in text
