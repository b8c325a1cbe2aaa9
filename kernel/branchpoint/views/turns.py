"""Requests of a page are met in the order in which the page made them.

JupyterLab sends the first ones to the kernel's main thread, and later ones to a thread of the
widgets, as soon as there is one: a key must not overtake those that were pressed before.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOST = 1.0  # wall seconds after which a request that has not come is not waited for any more
_PAGES = 16  # that are remembered


class Turns:
    """Whose turn it is, for each page that shows a view."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next: dict[str, int] = {}

    @contextmanager
    def wait(self, turn: Any) -> Iterator[None]:
        """Wait until the requests before this one were met; it is, when the context ends.

        ``turn`` is ``[page, number]``, numbers counting from 0; anything else does not wait.
        """
        if not (isinstance(turn, list) and [type(part) for part in turn] == [str, int]):
            yield
            return
        page, number = turn
        with self._changed:
            self._changed.wait_for(lambda: self._next.get(page, 0) >= number, _LOST)
        try:
            yield
        finally:
            with self._changed:
                self._next[page] = max(self._next.pop(page, 0), number + 1)
                while len(self._next) > _PAGES:
                    del self._next[next(iter(self._next))]
                self._changed.notify_all()
