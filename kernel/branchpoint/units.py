"""Lengths of time and sizes as people write them in files: ``1m30s``, ``500ms``, ``512m``."""

from __future__ import annotations

import re

_TIMES = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
}
_NUMBER = r"(\d{1,18}(?:\.\d{1,18})?)"
_TIME = re.compile(_NUMBER + "(ns|us|µs|ms|s|m|h)")
_SIZE = re.compile(_NUMBER + r"\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SIZES = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def nanoseconds(text: str) -> int | None:
    """The length of time, or None when it is none; every part has a unit, but for a bare 0."""
    parts = _TIME.findall(text)
    if text == "0":
        return 0
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(round(float(number) * _TIMES[unit]) for number, unit in parts)


def size(text: str) -> int | None:
    """Bytes, or None when it is no size; a bare number means bytes."""
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * (1 << _SIZES[match[2].lower()])) if match else None


def time_text(ns: int) -> str:
    """A length of time, exactly, as it is read best: ``2m``, ``1.5s``, ``250ms``, ``-3s``."""
    if ns < 0:
        return f"-{time_text(-ns)}"
    for unit in ("h", "m", "s", "ms", "us"):
        whole, rest = divmod(ns, _TIMES[unit])
        if whole and not rest:
            return f"{whole}{unit}"
        if whole and unit in ("s", "ms"):
            return f"{whole}.{str(_TIMES[unit] + rest)[1:].rstrip('0')}{unit}"
    return f"{ns}ns" if ns else "0s"


def size_text(size: int) -> str:
    """A size in the largest unit of which it is a multiple: ``4k``, ``100``."""
    for unit in ("t", "g", "m", "k"):
        if size and size % (1 << _SIZES[unit]) == 0:
            return f"{size >> _SIZES[unit]}{unit}"
    return str(size)
