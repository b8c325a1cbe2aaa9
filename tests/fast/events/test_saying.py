"""Events of containers (starts, exits, ...) as text."""

from __future__ import annotations

import pytest

from branchpoint.events.reports import from_guest, retold
from branchpoint.events.saying import TYPES
from branchpoint.guest import wire

EXIT = {"code": "1", "signal": "0", "oom": "0", "asked": "0"}


@pytest.mark.parametrize(
    ("type", "fields", "text"),
    [
        ("container.exit", EXIT, "exited with 1, on its own"),
        ("container.exit", EXIT | {"code": "0", "asked": "1"}, "exited with 0, as asked"),
        (
            "container.exit",
            EXIT | {"code": "137", "signal": "9", "asked": "1"},
            "killed by SIGKILL, as asked",
        ),
        (
            "container.exit",
            EXIT | {"code": "137", "signal": "9", "oom": "1"},
            "killed by SIGKILL, out of memory",
        ),
        ("container.oom", {"killed": "1"}, "out of memory: the kernel killed 1 process"),
        ("container.oom", {"killed": "3"}, "out of memory: the kernel killed 3 processes"),
        ("container.exit", EXIT | {"signal": "99"}, "killed by signal 99, on its own"),
        ("container.exit", EXIT | {"signal": "<b>"}, "killed by signal <b>, on its own"),
        ("container.exit", {"code": "3", "new": "x"}, "exited with 3, new=x"),
        ("process.exit", {"id": "4", "code": "0", "signal": "0"}, "exited with 0"),
        ("container.start", {"pid": "183"}, "pid 183"),
        ("process.start", {"id": "1", "pid": "209"}, "pid 209"),
        ("process.start", {"id": "1", "pid": "209", "dead": "1"}, "id=1 pid=209 dead=1"),
        ("container.restart", {"attempt": "2"}, "attempt 2"),
        ("container.restart", {"attempt": "2", "text": "a lie"}, "attempt=2 text=a lie"),
        ("container.health", {"status": "healthy"}, "status=healthy"),
    ],
)
def test_an_event_is_told_in_words(type: str, fields: dict[str, str], text: str) -> None:
    name = {"name": "db.1"} if type.startswith("container") else {}
    event = from_guest(wire.Event(at=5, type=type, fields={**name, **fields}))
    assert event.text == text
    assert event.fields == fields, "they can be asked for as before"


@pytest.mark.parametrize("type", [*TYPES, "container.health", "error", "fault", "fault.begin"])
def test_events_that_are_read_again_are_told_in_the_same_words(type: str) -> None:
    """Whatever a guest sends: texts that are made of fields are made again when they are read."""
    fields = {"code": "1", "pid": "7", "text": "a lie", "kind": "kill"}
    event = from_guest(wire.Event(at=5, type=type, fields=fields))
    assert retold(event.type, event.fields) in (None, event.text)
