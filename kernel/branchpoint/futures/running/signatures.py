"""What happened in a future, in a form that can be compared between futures."""

from __future__ import annotations

import re

from branchpoint.events.event import Event
from branchpoint.futures.draws import LONGEST_CAUSE

_NUMBERS = re.compile(
    r"0[xX][0-9a-fA-F]+"
    r"|(?<![0-9A-Za-z])(?=[a-f-]*[0-9])[0-9a-f]{6,}(?:-[0-9a-f]{4,})*(?![0-9A-Za-z])"
    r"|[0-9]+(?:[.,:T/-]+[0-9]+)*(?:Z|[+-][0-9]{2}:?[0-9]{2}\b)?"
)
"""In a line: hexadecimal numbers, digests and identifiers, decimals, dates, times, addresses."""
LINE = "log "
"""The prefix of signatures of lines."""


def line_signature(event: Event) -> str:
    """A line of a container's or the kernel's log, comparable between futures: numbers are "#".

    Lines of commands that a user ran give "": they are not part of the system.
    """
    if event.source == "process":
        return ""
    text = _NUMBERS.sub("#", event.text[: 2 * LONGEST_CAUSE]).strip()
    return f"{LINE}{event.container or event.source}: {text}"[:LONGEST_CAUSE] if text else ""


def _of_test(event: Event) -> list[str]:
    """What happened to a test command."""
    fields = event.fields
    command = f"{fields.get('template', '')}/{fields.get('command', '')}"
    if event.type == "test.start":
        return ["begins", event.container, command]
    by = fields.get("signal", "0")
    how = fields.get("code", "") if by == "0" else f"signal {by}"
    return ["ends", event.container, command, "as asked" if fields.get("asked") == "1" else how]


def signature(event: Event) -> str:
    """An event as a cause, comparable between futures; "" for an event that cannot be one.

    Causes are the life of containers, test commands, faults and violated assertions, with no
    instants in them.
    """
    fields = event.fields
    match event.type:
        case "fault.start":
            parts = ["fault", fields.get("type", ""), fields.get("target", "")]
        case "container.exit":
            code, by = fields.get("code", ""), fields.get("signal", "0")
            parts = ["exit", event.container, code if by == "0" else f"signal {by}"]
        case "sdk.assert" if fields.get("violated") == "1":
            parts = ["violated", event.container, event.text]
        case "test.start" | "test.exit":
            parts = ["test", *_of_test(event)]
        case "container.health":
            parts = [fields.get("status", ""), event.container]
        case "error" if fields.get("about", "").startswith("fault/"):
            parts = ["error", fields["about"], event.text]
        case kind if kind.startswith("container."):
            parts = [kind.partition(".")[2], event.container]
        case _:
            return ""
    return " ".join(part for part in parts if part)[:LONGEST_CAUSE]
