"""Numbers written without quotes, as the specification's reference implementation reads them.

It is written in Go, and where text is expected, as in ``environment``, a number is read as YAML's
and printed as Go does: ``010`` is 8, ``1.0`` is 1, ``1e3`` is 1000, ``0x10`` is 16.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_BASES = {"0x": 16, "0o": 8, "0b": 2}
_SIZES = range(-(1 << 63), 1 << 64)  # int64 and uint64


def printed(written: str) -> str:
    """What Go's ``fmt.Sprint`` makes of the number; what is none stays as it is."""
    digits = written.replace("_", "")
    whole = _whole(digits)
    if whole is not None and whole in _SIZES:
        return str(whole)
    if _FLOAT.fullmatch(digits) and math.isfinite(float(digits)):
        return _floating(float(digits))
    return written


def _whole(digits: str) -> int | None:
    sign = digits[:1] if digits[:1] in ("+", "-") else ""
    body = digits.removeprefix(sign).lower()
    base = _BASES.get(body[:2])
    if base is not None:
        body = body[2:]
    elif body != "0" and body.startswith("0"):
        base = 8
    if not body.isalnum():
        return None
    try:
        return int(sign + body, base or 10)
    except ValueError:
        return None


def _floating(value: float) -> str:
    """As ``%v`` of Go: the shortest digits, with an exponent below 1e-4 and from 1e21 on."""
    shortest = Decimal(repr(value)).normalize()
    power = shortest.adjusted()
    if not value or -4 <= power < 21:
        return f"{shortest:f}"
    mantissa = shortest.scaleb(-power)
    return f"{mantissa:f}e{power:+03d}"
