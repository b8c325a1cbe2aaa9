"""Makes events from the reports of the guest's agent."""

from __future__ import annotations

from collections.abc import Mapping

from branchpoint.events import saying, sdk
from branchpoint.events.event import Event
from branchpoint.events.saying import said
from branchpoint.faults import telling
from branchpoint.guest import wire

_SOURCES = {"container": "life", "setup": "life", "process": "process", "fault": "fault",
            "test": "test"}  # fmt: skip


END = "machine.end"
"""The type of the last event of a machine that its guest has ended, for example switched off."""


def end_of_machine(at: int, why: str, origin: int) -> Event:
    """The event for a guest that ended its machine at ``at`` (absolute ns); ``why`` is its text."""
    return Event(at=at, source="machine", type=END, text=why, origin=origin)


_UNSTARTED = "cannot be started"


def unstarted(error: Event) -> bool:
    """Whether an error about a command says that it could not be started; others are about signals
    and keys that were sent to one that had ended.
    """
    return error.text.startswith(_UNSTARTED)


def retold(type: str, fields: Mapping[str, str]) -> str | None:
    """The text of an event, made again of its fields; None when its text is the guest's own.

    Recordings keep texts. Their words may be those of an older version, but what the guest says
    again in a replay gets the words of this one.
    """
    if type.startswith("fault."):
        return telling.told(fields)[1]
    return said(type, fields) if type in saying.TYPES else None


def _source(of: str) -> tuple[str, str, dict[str, str]]:
    """The source of a line, its container, and what tells its program from others there."""
    match of.split("/"):
        case ["process", number]:
            return "process", "", {"id": number}
        case ["test", container, command]:
            return "test", container, {"command": command}
        case [source, container]:
            return source, container, {}
    return of, "", {}


def from_guest(record: wire.Line | wire.Event, origin: int = 0) -> Event:
    """The event for a report of the guest's agent; ``origin`` is the absolute ns of vtime 0.

    Bytes of a line that are not UTF-8 become ``\\xNN``, so that every text can be stored and
    printed. Lines and events of a process have the number of its command in the field ``id``, lines
    of a test command have the name of its file in the field ``command``.
    """
    if isinstance(record, wire.Line):
        source, container, named = _source(record.source)
        told = sdk.read(record.data) if record.stream == sdk.STREAM else None
        if told is not None:
            type_, words, about = told
            return Event(
                at=record.at, source=source, container=container, stream=sdk.STREAM, text=words,
                type=type_, fields=about, origin=origin,
            )  # fmt: skip
        return Event(
            at=record.at,
            source=source,
            container=container,
            stream=record.stream,
            text=record.data.decode("utf-8", "backslashreplace"),
            fields=named,
            origin=origin,
        )
    fields = dict(record.fields)
    kind = record.type.partition(".")[0]
    container = fields.pop("name", "") if kind in ("container", "test") else ""
    # Where the words are ours, all fields are in them: they are made again when events are read.
    text = None if record.type in saying.TYPES else fields.pop("text", None)
    if kind == "fault":
        container, text = telling.told(fields)
    return Event(
        at=record.at,
        source=_SOURCES.get(kind, "agent"),
        container=container,
        text=said(record.type, fields) if text is None else text,
        type=record.type,
        fields=fields,
        origin=origin,
    )
