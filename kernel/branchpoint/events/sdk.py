"""What programs report through an Antithesis SDK: assertions, events, set-up, code that runs.

The SDKs write one JSON object a line; those of containers arrive here as lines of the stream
``sdk``.

==============  ====================================================================
type            fields
==============  ====================================================================
``sdk.setup``   ``status`` ("complete"), ``details``
``sdk.assert``  ``id``, ``message``, ``type`` (always, always_or_unreachable, sometimes, reachable,
                unreachable), ``hit``, ``condition``, ``violated`` (1 or 0), ``location``,
                ``details``
``sdk.event``   ``name``, ``details``
``sdk.info``    the same, for what an SDK says about itself
``sdk.code``    ``module``, ``edges``: the numbers of those that a process ran for the first time
==============  ====================================================================

The last one is said by the library that SDKs load (``guest/voidstar.c``).
``details`` is JSON, cut off after :data:`LONGEST` characters.
"""

from __future__ import annotations

from typing import Any

import msgspec

from branchpoint.decoding import Malformed, from_json, whole
from branchpoint.events.event import Event

STREAM = "sdk"
LONGEST = 8192
"""Characters of one text that are kept."""
CODE = "sdk.code"
_OWN = "antithesis_"
_EDGES = "branchpoint_coverage"
_LARGEST_EDGE = 2**32
_KINDS = {
    ("always", True): "always",
    ("always", False): "always_or_unreachable",
    ("sometimes", True): "sometimes",
    ("sometimes", False): "sometimes",
    ("reachability", True): "reachable",
    ("reachability", False): "unreachable",
}
"""Kinds, by the type of an assertion and whether it must be reached."""
_MUST_HOLD = ("always", "always_or_unreachable", "unreachable")


def read(line: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Type, text and fields of the event in a line; None when the line is not an SDK's."""
    try:
        given = from_json(line, Any)
    except Malformed:
        return None
    if not isinstance(given, dict) or len(given) != 1:
        return None
    ((name, body),) = given.items()
    if name == f"{_OWN}assert" and isinstance(body, dict):
        return _assertion(body)
    if name == f"{_OWN}setup" and isinstance(body, dict):
        status = _text(body.get("status"))
        return "sdk.setup", status, {"status": status, "details": _json(body.get("details"))}
    if name == _EDGES and isinstance(body, dict):
        return _edges(body)
    kind = "sdk.info" if name.startswith(_OWN) else "sdk.event"
    fields = {"name": name[:LONGEST], "details": _json(body)}
    return kind, f"{fields['name']} {fields['details']}".strip(), fields


def _assertion(body: dict[str, Any]) -> tuple[str, str, dict[str, str]] | None:
    kind = _KINDS.get((_text(body.get("assert_type")), body.get("must_hit") is True))
    if kind is None:
        return None
    hit, condition = body.get("hit") is True, body.get("condition") is True
    place = body.get("location")
    where = place if isinstance(place, dict) else {}
    message = _text(body.get("message"))
    fields = {
        "id": _text(body.get("id")),
        "message": message,
        "type": kind,
        "hit": str(int(hit)),
        "condition": str(int(condition)),
        "violated": str(int(hit and not condition and kind in _MUST_HOLD)),
        "location": f"{_text(where.get('file'))}:{_text(where.get('begin_line'))}".strip(":"),
        "details": _json(body.get("details")),
    }
    return "sdk.assert", message, fields


def _edges(body: dict[str, Any]) -> tuple[str, str, dict[str, str]] | None:
    edges, module = body.get("edges"), _text(body.get("module"))
    if not isinstance(edges, list) or not all(
        type(edge) is int and 0 <= edge < _LARGEST_EDGE for edge in edges
    ):
        return None
    told = " ".join(map(str, edges))
    if not told or len(told) > LONGEST:
        return None
    return CODE, f"{module} runs {told}", {"module": module, "edges": told}


def edges(event: Event) -> tuple[str, list[int]]:
    """Module and numbers of the edges that an event tells of; none when it is another event."""
    if event.type != CODE:
        return "", []
    numbers = map(whole, event.fields.get("edges", "").split())
    return event.fields.get("module", ""), [edge for edge in numbers if edge is not None]


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:LONGEST]


def _json(value: Any) -> str:
    return "" if value is None else msgspec.json.encode(value).decode()[:LONGEST]
