"""Lengths of time and sizes as people write them: ``1m30s``, ``1.5 s``, ``512m``.

There is one grammar of time, that of :func:`nanoseconds`: for the command line, compose files and
Python.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation, localcontext

SECOND = 1_000_000_000  # nanoseconds
_TIMES = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # the sign for micro
    "μs": 1_000,  # the Greek letter
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "min": 60 * SECOND,
    "h": 3600 * SECOND,
}
TIME_HINT = 'write "90s", "1m30s" or "250ms"; a bare number means seconds'
_COUNT = r"(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?"
_PART = rf"({_COUNT})\s*({'|'.join(sorted(_TIMES, key=len, reverse=True))})"
_PARTS = re.compile(_PART)
_TIME = re.compile(rf"\s*([+-]?)(?:({_COUNT})|{_PART}(?:\s*{_PART})*)\s*")
_HUGE = 10**40  # ns; stands for every longer time: too long for every use
_DIGITS = 60  # of a product: enough to lose nothing before rounding

_NUMBER = r"(\d{1,18}(?:\.\d{1,18})?)"
_SIZE = re.compile(_NUMBER + r"\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_SIZES = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


def nanoseconds(text: str) -> int | None:
    """The length of time, to the nearest nanosecond, or None when ``text`` is not one.

    It is a bare number, which means seconds (``12.5``, ``1e-9``), or numbers with units, which
    are added (``1m30s``, ``1.5 s``, ``2 min``): ns, us, ms, s, m or min, h. A sign applies to
    the sum. More than 10**30 seconds give a number that is too large for every use.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    parts = [(match[2], "s")] if match[2] else _PARTS.findall(text)
    try:
        total = sum(scaled(Decimal(count), _TIMES[unit]) for count, unit in parts)
    except InvalidOperation:  # an exponent of twenty digits
        return None
    return -total if match[1] == "-" else total


def scaled(number: Decimal, unit: int) -> int:
    """``number`` (a finite one) times ``unit``, as the nearest whole number."""
    if number.adjusted() > 30:
        return -_HUGE if number.is_signed() else _HUGE
    with localcontext() as context:
        context.prec = _DIGITS
        return int((number * unit).to_integral_value(rounding=ROUND_HALF_EVEN))


def size(text: str) -> int | None:
    """Bytes, or None when ``text`` is not a size; a bare number means bytes."""
    match = _SIZE.fullmatch(text)
    return int(float(match[1]) * (1 << _SIZES[match[2].lower()])) if match else None


def time_text(ns: int) -> str:
    """A length of time, exact, in its most readable form: ``2m``, ``1.5s``, ``250ms``, ``-3s``."""
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
    """A size in the largest unit that divides it: ``4k``, ``100``."""
    for unit in ("t", "g", "m", "k"):
        if size and size % (1 << _SIZES[unit]) == 0:
            return f"{size >> _SIZES[unit]}{unit}"
    return str(size)
