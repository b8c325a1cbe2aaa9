"""The log explorer without a browser: what it shows and answers, and what is saved."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from likelihoods import exit_of, recording
from manyevents import many
from recordings import ORIGIN, SECOND, event, set_of

import branchpoint as bp
from branchpoint import Time
from branchpoint.events.event import EventLog, EventSet
from branchpoint.timeline.replaying.history import History, Point
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
    return Browser(set_of(EVENTS, moment_of=lambda at: at).explore(), monkeypatch)


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
    events = set_of(EVENTS)
    view = events.explore(**filters)
    assert texts(view) == shown
    assert [e.text for e in view.events] == shown
    code = view.state["code"]
    assert code.startswith(("events", "(events"))
    again = EventSet.explore(_evaluated(code, events))
    assert texts(again) == shown


def _evaluated(code: str, events: EventSet) -> EventSet:
    """The events of the expression that the view offers to copy."""
    found: EventSet = eval(code, {"events": events})
    return found


@pytest.mark.parametrize(
    "filters",
    [
        {"start": "05", "end": "1m"},
        {"start": Time.seconds(2), "end": timedelta(seconds=6)},
        {"followed_by": ("log:*:a", "1500ms")},
        {"not_preceded_by": ("log:*:a", "1m")},
    ],
)
def test_times_are_numbers_in_python_however_they_were_typed(filters: dict[str, Any]) -> None:
    events = set_of(EVENTS)
    view = events.explore(**filters)
    assert len(view.events) > 0 and '"' not in view.state["code"].replace("'", "")
    assert texts(EventSet.explore(_evaluated(view.state["code"], events))) == texts(view)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"regex": "("}, "not a regular expression"),
        ({"start": "soon"}, "'soon' is not a length of time"),
        ({"preceded_by": "exit:"}, "not a query"),
        ({"preceded_by": ("exit:*", "-1")}, "negative"),
        ({"text": "a", "regex": "b"}, "cannot both"),
        ({"colour": "red"}, "no filter colour"),
    ],
)
def test_a_filter_that_means_nothing_says_so(filters: dict[str, Any], said: str) -> None:
    with pytest.raises(bp.BranchpointError, match=said.replace("(", r"\(")):
        set_of(EVENTS).explore(**filters)


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
    view = set_of([*EVENTS, long]).explore()
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
    with pytest.raises(bp.BranchpointError, match="no event is shown"):
        view.select(100)


# -- folded rows, and the row at which it opens


KERNEL = {"source": "kernel", "container": ""}
FAILED = [
    *(event(n / 100, f"veth{n}.0: entered allmulticast mode", **KERNEL) for n in range(60)),
    event(1, "Ready"),
    *(event(2 + n / 100, "retrying") for n in range(300)),
    event(6, "asked", container="web.1", type="container.exit", source="life", stream="",
          fields={"code": "0", "asked": "1"}),
    *(event(7 + n, f"line {n}") for n in range(200)),
]  # fmt: skip
LONG = [
    *FAILED[:-50],
    event(156.5, "failed", type="container.exit", source="life", stream="", fields={"code": "1"}),
    *FAILED[-50:],
]


def test_repeated_lines_and_those_of_the_kernel_are_one_row() -> None:
    view = set_of(FAILED).explore()
    rows = view._rows(0, 4)
    assert [(row[5], *row[7:]) for row in rows] == [
        ("veth0.0: entered allmulticast mode", 60, "kernel"), ("Ready", 1, ""),
        ("retrying", 300, "same"), ("asked", 1, ""),
    ]  # fmt: skip
    assert (view.state["count"], view.state["rows"]) == (len(FAILED), 204)
    view.folding = False
    assert (view.state["count"], view.state["rows"]) == (len(FAILED), len(FAILED))
    assert set_of(FAILED).explore(fold=False).state["rows"] == len(FAILED)


def test_only_the_same_line_of_the_same_stream_repeats() -> None:
    lines = [event(1, "a"), event(2, "a", stream="err"), event(3, "a", container="web.1"),
             event(4, "b"), event(5, "b"), event(6, "a"), event(7, "a")]  # fmt: skip
    assert [(row[5], row[7]) for row in set_of(lines).explore()._rows(0, 9)] == [
        ("a", 1), ("a", 1), ("a", 1), ("b", 2), ("a", 2)
    ]  # fmt: skip


def test_who_asks_for_the_kernel_gets_its_lines() -> None:
    events = set_of([*FAILED[:60], event(1, "up")])
    assert events.explore().state["rows"] == 2
    assert events.explore(text="veth").state["rows"] == 60
    assert events.explore(container="(kernel)").state["rows"] == 60
    assert events.where(source="kernel").explore().state["rows"] == 60


def test_a_fold_is_opened_and_folded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Browser(set_of(FAILED).explore(), monkeypatch)
    browser.ask("select", position=70)
    assert browser.view.chosen["row"] == 2
    generation = browser.view.state["generation"]
    browser.ask("open", position=61)
    state = browser.view.state
    assert (state["rows"], state["stays"]) == (503, True) and state["generation"] > generation
    assert [row[7:] for row in browser.view._rows(1, 4)] == [
        [1, ""], [300, "open"], [1, ""], [1, ""]
    ]  # fmt: skip
    assert browser.view.chosen["row"] == 11, "what was chosen stays chosen"
    browser.ask("open", position=61)
    assert browser.view.state["rows"] == 204 and browser.view.chosen["row"] == 2
    browser.ask("open", position=10**9)
    assert browser.view.state["rows"] == 204


def test_a_log_opens_at_its_failure() -> None:
    view = set_of(LONG).explore()
    at = view.state["at"]
    assert view._rows(at, 1)[0][5] == "failed"
    assert view.state["start"] <= at < view.state["start"] + len(view.state["first"])
    web = set_of(LONG).explore(container="web.1")
    assert [row[5] for row in web._rows(web.state["at"], 1)] == ["asked"], "the last one before it"
    assert set_of(FAILED).explore().state["at"] == -1, "nothing has failed"
    assert set_of(LONG).explore(text="line").state["at"] == -1, "a search opens at its first find"


def test_a_recorded_failure_comes_before_later_exits(tmp_path: Path) -> None:
    events = [event(1, "a"), event(2, "the failure"), event(3, "b"), exit_of(4)]
    with recording(tmp_path / "run.branchpoint", events) as run:
        assert run.events.explore().state["at"] == 3
        run.files.manifest = run.manifest.with_(failure=ORIGIN + 2 * SECOND)
        assert run.events.explore().state["at"] == 1
        branch = run.at(1.5).branch()
        branch._history.log.append(event(2, "other"))
        assert branch.events.explore(follow=False).state["at"] == -1, "it is not this branch's"
    with recording(tmp_path / "early.branchpoint", [event(-2, "before set-up")]) as run:
        assert texts(run.events.explore()) == ["before set-up"]


def test_who_follows_opens_at_the_tail() -> None:
    view = set_of(LONG).explore(follow=True)
    assert view.following and view.state["at"] == view.state["rows"] - 1
    assert view.state["first"][-1][5] == "line 199"


def test_the_static_view_shows_the_failure_too() -> None:
    text = repr(set_of(LONG).explore())
    lines = text.splitlines()
    assert "… 493 more …" in lines[1] and "… 40 more …" in lines[-2]
    assert sum("failed" in line for line in lines) == 1 and len(lines) == 34
    short = repr(set_of(FAILED[:370]).explore()).splitlines()
    assert "… 60 lines of the kernel …" in short[1] and "retrying  × 300" in short[3]


# -- a branch that runs


def test_repeats_fold_while_a_branch_goes_on() -> None:
    root = History([], Point(ORIGIN, 0), EventLog())
    branch = root.branch(Point(ORIGIN, 0))
    branch.log.append(event(1, "again"))
    view = EventSet(branch.log.columns(), origin=ORIGIN, history=branch).explore()
    for n in range(5):
        branch.log.append(event(2 + n, "again"))
        branch.watchers[0](True)
    branch.log.append(event(9, "end"))
    branch.watchers[0](True)
    assert [(row[5], row[7]) for row in view.state["tail"][1]] == [("again", 6), ("end", 1)]


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
    whole = EventSet(branch.log.columns(), origin=ORIGIN, history=branch)
    said = {
        each.state["code"].partition(".where")[0]: each.state["branch"]
        for each in (root_view, whole.explore(), set_of(EVENTS).explore())
    }
    assert said == {"run.events": False, "branch.events": True, "events": False}


def test_what_is_near_is_asked_anew_when_a_branch_goes_on() -> None:
    root = History([], Point(ORIGIN, 0), EventLog())
    branch = root.branch(Point(ORIGIN, 0))
    branch.log.append(event(1, "sent"))
    view = EventSet(branch.log.columns(), origin=ORIGIN, history=branch).explore(
        text="sent", not_followed_by=("received", 1)
    )
    assert texts(view) == ["sent"]
    branch.log.append(event(1.2, "something else"))
    branch.watchers[0](True)
    generation = view.state["generation"]
    assert (view.state["count"], generation) == (1, 1), "the same row is shown"
    view.select(1)
    branch.log.append(event(1.5, "received"))
    branch.watchers[0](True)
    assert view.state["count"] == 0
    assert view.state["generation"] > generation, "the page must not keep rows that are gone"
    assert (view.chosen["text"], view.chosen["row"]) == ("sent", -1), "no other row is marked"


# -- a million events


def test_a_slow_search_shows_what_it_has_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchpoint.views.rows.SLICE", 0)
    browser = Browser(many(set_of(EVENTS), 60_000).explore(), monkeypatch)
    browser.ask("filter", filter={"text": r"get /b #\d+", "is_regex": True})
    seen = [browser.view.state["scanned"]]
    monkeypatch.setattr("branchpoint.views.rows.SLICE", 0.001)
    while browser.view.state["scanned"] < 1:
        browser.ask("more", generation=browser.view.state["generation"])
        seen.append(browser.view.state["scanned"])
    assert len(seen) > 2 and seen == sorted(seen)
    assert browser.view.state["count"] == 10_000
    assert len(browser.view.events) == 10_000


def test_a_million_events_are_filtered_while_one_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    events = many(set_of(EVENTS))
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
    events = set_of([event(n / 100, f"{n} {nasty}") for n in range(500)])
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
    text = repr(set_of(EVENTS).explore(text="GET"))
    assert [line.split()[0] for line in text.splitlines()[1:3]] == ["2.000000", "6.000000"]
    assert "2 events" in text and "(?i)GET" in text
