"""Showing curves while they are drawn, in any front end.

A front end that can show pictures installs a function with :func:`use`. It is called once for each
curve that is drawn, and returns a function that shows the curve in place of its last picture. If
none is installed, nothing is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from branchpoint.futures.curve import Curve

_EVERY = 0.5  # wall seconds between two showings, at least
_SHARE = 20  # times as long as one showing takes: at most 1/20 of the time is spent on it

Screen = Callable[[Curve], None]
_begin: Callable[[], Screen] | None = None


def use(begin: Callable[[], Screen] | None) -> Callable[[], None]:
    """Show later curves with what ``begin()`` returns (None: show none); returns how to undo it."""
    global _begin
    previous, _begin = _begin, begin

    def undo() -> None:
        global _begin
        _begin = previous

    return undo


class Showing:
    """One curve on the screen while it grows."""

    def __init__(self) -> None:
        self._screen = _begin() if _begin is not None else None
        self._next = time.monotonic() + _EVERY

    def offer(self, make: Callable[[], Curve]) -> None:
        """Show the curve that ``make()`` gives, if the last one has been there long enough."""
        if self._screen is not None and time.monotonic() >= self._next:
            self.finish(make())

    def finish(self, curve: Curve) -> None:
        """Show a curve whether or not it is time."""
        if self._screen is not None:
            started = time.monotonic()
            self._screen(curve)
            now = time.monotonic()
            self._next = now + max(_EVERY, _SHARE * (now - started))
