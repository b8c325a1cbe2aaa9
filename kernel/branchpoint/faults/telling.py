"""What people read of a fault's events."""

from __future__ import annotations

from collections.abc import Mapping

from branchpoint.faults.kinds import FOREVER, GUEST, KINDS
from branchpoint.faults.settings import amount
from branchpoint.units import time_text

_ONE_WAY = {"1": "out only", "2": "in only"}


def told(fields: Mapping[str, str]) -> tuple[str, str]:
    """The container that a fault's begin or end is about ("": none, or several), and its text."""
    kind, target = fields.get("type", ""), fields.get("target", "")
    about = "" if target == GUEST or set(target) & {",", "|"} else target
    said = [describe(kind, fields.get("params", "")), fields.get("why", "")]
    length = fields.get("for", "0")
    if length.isdecimal() and 0 < int(length[:19]) < FOREVER:
        said.append(f"for {time_text(int(length))}")
    details = ", ".join(filter(None, said))
    return about, f"{kind} {target}" + (f": {details}" if details else "")


def describe(kind: str, params: str) -> str:
    """Parameters as the agent tells them (``delay=137000 jitter=0``), with units.

    Whatever is no parameter of such a kind stays as it is.
    """
    known = {p.name: p for p in KINDS[kind].parameters} if kind in KINDS else {}
    said = []
    for pair in params.split():
        name, _, value = pair.partition("=")
        if name not in known or not value.removeprefix("-").isdecimal() or len(value) > 18:
            said.append(pair)
        elif name != "one_way":
            said.append(f"{name} {amount(known[name], int(value))}")
        elif value in _ONE_WAY:
            said.append(_ONE_WAY[value])
    return ", ".join(said)
