"""Short tables of events, for a terminal and for a notebook.

The output of a system under test is untrusted. Control characters and characters that reorder text
are made visible, terminal sequences are removed, and HTML is escaped.
"""

from __future__ import annotations

import re
from itertools import groupby
from typing import TYPE_CHECKING

from branchpoint.clock import format_vtime
from branchpoint.events import tables

if TYPE_CHECKING:
    from branchpoint.events.event import Event, EventSet

_LOOKED = 5000  # events that are read at most, to fill a table
_ROWS = 18  # rows in a table, without its first and last line
_WIDTH = 160  # characters of text in a row of a terminal
_PAGE = 300  # ... and of a page, which breaks lines
_NAME_WIDTH = 32
TITLES = ("vtime", "container", "type/stream", "text")
"""Of tables of events. They are the names of columns of their frame; a line of a log has a stream
where other events have their type."""
Row = tuple[str, str, str, str]
_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def inert(text: str, width: int) -> str:
    """At most ``width`` characters of ``text``, safe to show: without colours and control codes."""
    # Cut first: a line can be 64 KiB long, and most of it is not shown.
    cut = _TERMINAL.sub("", text[: 4 * width])
    cut = _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), cut)
    return cut if len(cut) <= width and len(text) <= 4 * width else cut[: width - 1] + "…"


def name(text: str, width: int) -> str:
    """The last ``width`` characters of a name, because names differ at their ends."""
    shown = inert(text[-4 * width :], 8 * width)
    is_cut = len(text) > 4 * width or len(shown) > width
    return f"…{shown[len(shown) - width + 1 :]}" if is_cut else shown


def row(event: Event, width: int = _WIDTH) -> Row:
    """Vtime, who, what and at most ``width`` characters of the text of one event, inert."""
    who = event.container or event.source
    if event.source == "process" and "id" in event.fields:
        who = f"{who} {event.fields['id']}"
    what = event.stream if event.type == "log" else event.type
    return (
        format_vtime(event.at - event.origin),
        name(who, _NAME_WIDTH),
        name(what, _NAME_WIDTH),
        inert(event.text, width),
    )


def _shown(events: EventSet, width: int) -> tuple[list[Row], str]:
    count = len(events)
    rows: list[Row] = []
    shown = 0
    for _, group in groupby(events[:_LOOKED], _repeated):
        if len(rows) == _ROWS:
            break
        same = list(group)
        at, who, what, text = row(same[0], width)
        rows.append((at, who, what, text if len(same) == 1 else f"{text}  × {len(same)}"))
        shown += len(same)
    if count > shown:
        return rows, f"... and {count - shown} more of {count} events"
    return rows, f"{count} event{'' if count == 1 else 's'}"


def _repeated(event: Event) -> object:
    """A value that is equal for repeated lines; other events are never equal."""
    if event.type != "log":
        return object()
    return event.source, event.container, event.stream, event.fields.get("id"), event.text


def plain(events: EventSet) -> str:
    """At most 20 lines for a terminal."""
    rows, foot = _shown(events, _WIDTH)
    if not rows:
        return "no events"
    table = [TITLES, *_padded(rows)]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    lines = [
        f"{at:>{widths[0]}}  {who:<{widths[1]}}  {what:<{widths[2]}}  {text}".rstrip()
        for at, who, what, text in table
    ]
    return "\n".join([*lines, foot])


def html(events: EventSet) -> str:
    """A small table for a notebook, without script or style sheet; under 20 kB."""
    rows, foot = _shown(events, _PAGE)
    if not rows:
        return "<p>no events</p>"
    return tables.html(TITLES, _padded(rows), verbatim="text") + f"<p>{foot}</p>"


def _padded(rows: list[Row]) -> list[Row]:
    """The rows, all vtimes with the same number of decimals."""
    decimals = max(len(at.partition(".")[2]) for at, *_ in rows)
    return [
        (at + "0" * (decimals - len(at.partition(".")[2])), who, what, text)
        for at, who, what, text in rows
    ]
