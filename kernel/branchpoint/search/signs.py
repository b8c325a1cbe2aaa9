"""What can be seen of a stretch: all that an exploration knows about what a system does.

A sign is a short text that is equal in two futures when the same kind of thing happens in both: the
template of a line (numbers in it are "#"), an event of a container's life, a fault, an assertion
that holds or is violated, or how near a program says it came to something (guidance of an SDK).
Code and lines of Python programs that run are seen, too, but have no text; see :mod:`code`.
"""

from __future__ import annotations

from math import copysign, log2
from typing import Any, Literal, get_args

import msgspec
from blake3 import blake3

from branchpoint.decoding import Malformed, from_json
from branchpoint.events.event import LOG, Event
from branchpoint.futures.draws import LONGEST_CAUSE
from branchpoint.futures.running.signatures import LINE, line_signature, signature

Signal = Literal["lines", "events", "assertions", "code", "python"]
"""The kinds of things that are seen."""
Outcome = Literal["declared", "true", "false"]
"""What was heard of an assertion."""
SIGNALS: tuple[Signal, ...] = get_args(Signal)
_ASSERTED = ("assertion ", "guided ")
"""How signs of assertions begin."""
_MESSAGE = 150
"""Characters of an assertion's message; the longest sign has room for what stands before it."""
_CONTAINER, _GUIDED, _LEVEL = 40, 80, 60  # characters: all of it is a sign
_DIGEST = 8  # hex digits, of a text that is cut
_STEPS = 4  # levels of a number between it and its double
_LARGEST = 1e300


def sign(event: Event) -> str:
    """The sign of an event; "" when it has none."""
    match event.type:
        case kind if kind == LOG:
            return line_signature(event)
        case "sdk.assert" if event.fields.get("hit") == "1":
            return asserted(event)
        case "sdk.info" if event.fields.get("name") == "antithesis_guidance":
            return _guided(event)
    return signature(event)


def kind_of(event: Event) -> str:
    """What tells a failure from others of that name: the event that was the failure."""
    return signature(event) or sign(event) or event.type


def signal(found: str) -> Signal:
    """The kind of a sign."""
    if found.startswith(LINE):
        return "lines"
    return "assertions" if found.startswith(_ASSERTED) else "events"


def asserted(event: Event) -> str:
    """What was heard of an assertion. One assertion is one message, wherever it stands.

    That it is only declared is no sign: a program that starts declares all that it has.
    """
    fields = event.fields
    outcome: Outcome = "true" if fields.get("condition") == "1" else "false"
    if fields.get("hit") != "1":
        outcome = "declared"
    # The same message after any of these, or one assertion would be judged as several.
    message = _short(event.text, _MESSAGE)
    return f"assertion {fields.get('type', '')} {outcome}: {message}"[:LONGEST_CAUSE]


def assertion(found: str) -> tuple[str, str, Outcome] | None:
    """Message, kind and outcome of an assertion's sign; None for other signs."""
    head, colon, message = found.partition(": ")
    match head.split():
        case ["assertion", kind, ("declared" | "true" | "false") as outcome] if colon:
            return message, kind, outcome
    return None


def _guided(event: Event) -> str:
    try:
        body = from_json(event.fields.get("details", "").encode(), Any)
    except Malformed:  # cut off
        return ""
    if not isinstance(body, dict) or body.get("guidance_data") is None:
        return ""
    level = _level(body.get("guidance_type"), body["guidance_data"])
    message = _short(str(body.get("message", "")), _GUIDED)
    return f"guided {_short(event.container, _CONTAINER)} {message}: {_short(level, _LEVEL)}"


def _short(text: str, most: int) -> str:
    """The text; if it is longer than that, its beginning and a digest of all of it."""
    if len(text) <= most:
        return text
    digest = blake3(text.encode("utf-8", "surrogatepass")).hexdigest(_DIGEST // 2)
    return f"{text[: most - _DIGEST - 1]}…{digest}"


def _level(kind: Any, data: Any) -> str:
    """How near it is. Numbers are rounded, so that there are few levels."""
    if kind == "numeric" and isinstance(data, dict):
        left, right = data.get("left"), data.get("right")
        if isinstance(left, int | float) and isinstance(right, int | float):
            return f"{_rounded(left - right):g} apart"
    return msgspec.json.encode(data, order="sorted").decode()


def _rounded(number: float) -> float:
    if abs(number) <= 1:
        return round(number, 1)
    near = max(-_LARGEST, min(number, _LARGEST))  # a whole number may be too large for a float
    return copysign(round(2 ** (round(log2(abs(near)) * _STEPS) / _STEPS)), near)
