"""Virtual time: what users write in seconds and the machine counts in nanoseconds.

One executed instruction is one nanosecond. Inside, every instant is an ``int``: nanoseconds since
the machine was switched on (*absolute*). Users see seconds since the end of set-up (*vtime*).
Conversions are exact: a decimal that a user types means that decimal, not its nearest binary
fraction.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import total_ordering
from typing import Any, Protocol, TypeAlias

from branchpoint import units
from branchpoint.errors import TimeError
from branchpoint.units import SECOND

_LIMIT = 2**63  # what fits the columns of the event log and the files


@total_ordering
class Time:
    """A length of virtual time (or an instant counted from vtime 0), exact to the nanosecond.

    Made by ``Time.seconds(1)``, ``Time.milliseconds(20)``, ``Time.minutes(2)``, ... Immutable;
    adds and compares with other times, with timedeltas and with plain numbers, which mean seconds.
    As a key it is found by other times and by plain numbers only: a timedelta has another hash.

    :raises TimeError: when it is made from something that is not a length of time, or that is
        longer than 292 years.
    """

    __slots__ = ("_ns",)
    _ns: int

    def __init__(self, seconds: Any = 0) -> None:
        object.__setattr__(self, "_ns", to_ns(seconds))

    @classmethod
    def _of(cls, count: Any, unit: int) -> Time:
        return cls.nanoseconds(_scaled(count, unit))

    def _compared(self, other: object) -> tuple[Any, Any] | None:
        """Both as numbers that can be compared; None: they cannot be."""
        if isinstance(other, Time):
            return self._ns, other._ns
        if isinstance(other, timedelta):
            return self._ns, _ns_of(other)
        if isinstance(other, Decimal):
            return Decimal(self._ns), other * SECOND
        return (float(self), other) if isinstance(other, int | float) else None

    @classmethod
    def nanoseconds(cls, count: Any) -> Time:
        """A duration of ``count`` nanoseconds, rounded to a whole number."""
        made = cls.__new__(cls)
        object.__setattr__(made, "_ns", _scaled(count, 1))
        return made

    @classmethod
    def microseconds(cls, count: Any) -> Time:
        """A duration of ``count`` microseconds."""
        return cls._of(count, 1_000)

    @classmethod
    def milliseconds(cls, count: Any) -> Time:
        """A duration of ``count`` milliseconds."""
        return cls._of(count, 1_000_000)

    @classmethod
    def seconds(cls, count: Any) -> Time:
        """A duration of ``count`` seconds."""
        return cls._of(count, SECOND)

    @classmethod
    def minutes(cls, count: Any) -> Time:
        """A duration of ``count`` minutes."""
        return cls._of(count, 60 * SECOND)

    @classmethod
    def hours(cls, count: Any) -> Time:
        """A duration of ``count`` hours."""
        return cls._of(count, 3600 * SECOND)

    @property
    def ns(self) -> int:
        """The length in nanoseconds."""
        return self._ns

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a Time cannot be changed")

    def __reduce__(self) -> tuple[Any, tuple[int]]:
        return Time.nanoseconds, (self._ns,)

    def __float__(self) -> float:
        return self._ns / SECOND

    def __bool__(self) -> bool:
        return self._ns != 0

    def __hash__(self) -> int:
        return hash(float(self))

    def __eq__(self, other: object) -> bool:
        both = self._compared(other)
        return NotImplemented if both is None else both[0] == both[1]

    def __lt__(self, other: Any) -> bool:
        both = self._compared(other)
        return NotImplemented if both is None else both[0] < both[1]

    def __add__(self, other: Any) -> Time:
        return Time.nanoseconds(self._ns + to_ns(other))

    __radd__ = __add__

    def __sub__(self, other: Any) -> Time:
        return Time.nanoseconds(self._ns - to_ns(other))

    def __rsub__(self, other: Any) -> Time:
        return Time.nanoseconds(to_ns(other) - self._ns)

    def __mul__(self, factor: Any) -> Time:
        if isinstance(factor, Time):
            return NotImplemented
        return Time.nanoseconds(_scaled(factor, self._ns))

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        """Divided by a number, a Time; divided by a Time, their ratio (a float)."""
        try:
            if isinstance(other, Time):
                return self._ns / other._ns
            return Time.nanoseconds(Decimal(self._ns) / Decimal(str(other)))
        except (ZeroDivisionError, InvalidOperation):
            raise TimeError(f"{self} cannot be divided by {other!r}") from None

    def __neg__(self) -> Time:
        return Time.nanoseconds(-self._ns)

    def __abs__(self) -> Time:
        return Time.nanoseconds(abs(self._ns))

    def __str__(self) -> str:
        return f"{format_vtime(self._ns)} s"

    def __repr__(self) -> str:
        return f"Time.seconds({format_vtime(self._ns)})"


def to_ns(value: Any) -> int:
    """Nanoseconds in ``value``: seconds as int, float, str or Decimal; a Time; a timedelta.

    A str is read by :func:`branchpoint.units.nanoseconds`: ``"250ms"``, ``"1m30s"``; without a
    unit it means seconds. Anything finer than a nanosecond is rounded to the nearest one.

    :raises TimeError: when it is not a length of time, or longer than can be counted.
    """
    if isinstance(value, Time):
        return value.ns
    if isinstance(value, timedelta):
        return _checked(_ns_of(value), value)
    if isinstance(value, str):
        ns = units.nanoseconds(value)
        if ns is None:
            raise TimeError(f"{value!r} is not a length of time", units.TIME_HINT)
        return _checked(ns, value)
    return _scaled(value, SECOND)


def _ns_of(value: timedelta) -> int:
    whole = (value.days * 86_400 + value.seconds) * SECOND + value.microseconds * 1_000
    # pandas' Timedelta is a timedelta that is exact to the nanosecond.
    return whole + int(getattr(value, "nanoseconds", 0))


def format_vtime(ns: int) -> str:
    """``ns`` nanoseconds as decimal seconds, exact: to the ms, the µs or the ns."""
    whole, rest = divmod(abs(ns), SECOND)
    decimals = f"{rest:09d}"
    while len(decimals) > 3 and decimals.endswith("000"):
        decimals = decimals[:-3]
    return f"{'-' if ns < 0 else ''}{whole}.{decimals}"


def _scaled(count: Any, unit: int) -> int:
    """``count`` units of ``unit`` nanoseconds, through the decimal that ``count`` prints as."""
    if isinstance(count, bool) or count is None:
        raise TimeError(f"{count!r} is not a time", "give a number of seconds or a Time")
    if isinstance(count, int):
        return _checked(count * unit, count)
    try:
        # str() of a float is the shortest decimal that means it: 118.738 stays 118.738.
        number = Decimal(str(count))
    except InvalidOperation:
        raise TimeError(f"{count!r} is not a time", "give a number of seconds or a Time") from None
    return _rounded(number, count, unit)


def _rounded(number: Decimal, given: Any, unit: int = 1) -> int:
    if not number.is_finite():
        raise TimeError(f"{given!r} is not a finite time")
    return _checked(units.scaled(number, unit), given)


def _checked(ns: int, given: Any) -> int:
    if not -_LIMIT < ns < _LIMIT:
        raise TimeError(f"{given!r} is longer than the 292 years that virtual time can count")
    return ns


class Dated(Protocol):
    """Anything that has an absolute instant: a moment, an event, a packet."""

    @property
    def at(self) -> int:
        """The instant, in absolute ns."""


Duration: TypeAlias = Time | timedelta | Decimal | float | str
"""A length of virtual time as users give it, see :func:`to_ns`: a bare number means seconds."""
Instant: TypeAlias = Duration | Dated
"""An instant as users give it: seconds since set-up was complete, or anything with an instant."""
