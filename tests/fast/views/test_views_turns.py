"""Requests of a page that arrive in more than one thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from recordings import event, set_of

from branchpoint.views import turns


class Heard:
    """A view that gets requests, and the requests in the order in which it answered them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.view = set_of([event(1)]).explore()
        self.numbers: list[Any] = []
        monkeypatch.setattr(self.view, "send", lambda *_: None)
        self.view._on_key = lambda message: self.numbers.append(message["key"])

    def ask(self, key: Any, turn: Any) -> None:
        self.view._asked(self.view, {"ask": "key", "key": key, "turn": turn}, [])

    def ask_elsewhere(self, key: Any, turn: Any) -> threading.Thread:
        thread = threading.Thread(target=self.ask, args=(key, turn))
        thread.start()
        return thread


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Heard:
    return Heard(monkeypatch)


def test_a_key_waits_for_those_that_were_pressed_before(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LOST", 60)
    threads = [heard.ask_elsewhere(number, ["page", number]) for number in (3, 1, 2)]
    heard.ask("other", ["another page", 0])
    heard.ask(0, ["page", 0])
    for thread in threads:
        thread.join()
    assert heard.numbers == ["other", 0, 1, 2, 3]


def test_an_error_does_not_stop_those_after_it(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LOST", 60)
    later = heard.ask_elsewhere(1, ["page", 1])
    heard.view._asked(heard.view, {"ask": "key", "turn": ["page", 0]}, [])  # no such request
    later.join()
    assert heard.numbers == [1]


def test_what_was_lost_is_not_waited_for_long(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_LOST", 0.01)
    heard.ask(5, ["page", 5])
    monkeypatch.setattr(turns, "_LOST", 60)
    heard.ask(6, ["page", 6])
    heard.ask(2, ["page", 2])  # it was only late
    heard.ask(7, ["page", 7])
    assert heard.numbers == [5, 6, 2, 7]


@pytest.mark.parametrize("turn", [None, 7, [], ["page"], ["page", "1"], ["page", True], {}])
def test_who_tells_no_turn_does_not_wait(heard: Heard, turn: Any) -> None:
    heard.ask(1, turn)
    assert heard.numbers == [1]
