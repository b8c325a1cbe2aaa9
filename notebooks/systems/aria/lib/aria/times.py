"""Instants as RFC 3339 text with nanoseconds, and as ns since 1970."""

from __future__ import annotations

import time


def show(ns: int) -> str:
    """2025-11-28T21:59:51.362900555Z"""
    seconds, fraction = divmod(ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{fraction:09d}Z"


def parse(text: str) -> int:
    """ns since 1970 of an instant such as 2025-11-28T16:59:51.362900555-05:00."""
    try:
        date, _, rest = text.partition("T")
        if rest.endswith(("Z", "z")):
            clock, zone = rest[:-1], 0
        else:
            clock, sign, shift = rest[:-6], rest[-6], rest[-5:]
            zone = (int(shift[:2]) * 60 + int(shift[3:])) * {"+": 60, "-": -60}[sign]
        year, month, day = (int(part) for part in date.split("-"))
        hms, _, fraction = clock.partition(".")
        hour, minute, second = (int(part) for part in hms.split(":"))
        nanos = int(fraction.ljust(9, "0")[:9])
    except (ValueError, IndexError, KeyError):
        raise ValueError(
            f"expected an instant such as 2025-11-28T16:59:51.362900555-05:00, got {text!r}"
        ) from None
    seconds = _days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    return (seconds - zone) * 10**9 + nanos


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar."""
    if month <= 2:  # years from March on: the leap day comes last
        year, month = year - 1, month + 12
    return (
        365 * year + year // 4 - year // 100 + year // 400 + (153 * month - 457) // 5 + day - 719469
    )
