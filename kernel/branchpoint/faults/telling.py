"""The text of a fault's events, for people."""

from __future__ import annotations

from collections.abc import Mapping

from branchpoint.decoding import whole
from branchpoint.faults.kinds import FOREVER, GUEST, KINDS, versions
from branchpoint.faults.settings import amount
from branchpoint.units import time_text

_ONE_WAY = {"1": "out only", "2": "in only"}


def told(fields: Mapping[str, str]) -> tuple[str, str]:
    """The container that a fault's begin or end is about ("": none, or several), and its text."""
    kind, target = fields.get("type", ""), fields.get("target", "")
    about = "" if target == GUEST or set(target) & {",", "|"} else versions(target)[0]
    said = [describe(kind, fields.get("params", "")), fields.get("why", "")]
    length = whole(fields.get("for", "0")) or 0
    if 0 < length < FOREVER:
        said.append(f"for {time_text(length)}")
    details = ", ".join(filter(None, said))
    return about, f"{kind} {target}" + (f": {details}" if details else "")


def describe(kind: str, params: str) -> str:
    """Parameters as the agent tells them (``delay=137000 jitter=0``), with units.

    What is not a parameter of this kind stays as it is.
    """
    known = {p.name: p for p in KINDS[kind].parameters} if kind in KINDS else {}
    said = []
    for pair in params.split():
        name, _, value = pair.partition("=")
        number = whole(value.removeprefix("-"))
        if name not in known or number is None:
            said.append(pair)
        elif name != "one_way":
            signed = -number if value.startswith("-") else number
            said.append(f"{name} {amount(known[name], signed)}")
        elif value in _ONE_WAY:
            said.append(_ONE_WAY[value])
    return ", ".join(said)
