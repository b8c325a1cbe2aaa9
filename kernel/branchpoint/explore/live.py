"""Curves shown while they are drawn, wherever the screen is.

Whoever owns a screen that can show pictures installs a function with :func:`use`; it is called
once for each curve that is drawn and gives back what shows that curve, each time in place of the
last. With none installed nothing is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from branchpoint.explore.curve import Curve

_EVERY = 0.5  # wall seconds between two showings, at least
_SHARE = 20  # and so many times what a showing takes: at most 1/20 of the time goes there

Screen = Callable[[Curve], None]
_begin: Callable[[], Screen] | None = None


def use(begin: Callable[[], Screen] | None) -> Callable[[], None]:
    """Show all later curves by what ``begin()`` gives (None: not at all); returns the undo."""
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
