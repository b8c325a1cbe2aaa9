"""Requests of a page are answered in the order in which the page made them.

JupyterLab sends the first requests to the kernel's main thread and, once it exists, later ones to
a separate thread for widgets. A key must not overtake the keys that were pressed before it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_LOST = 1.0  # wall seconds to wait for an earlier request that has not come
_PAGES = 16  # pages that are remembered


class Turns:
    """Whose turn it is, for each page that shows a view."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._next: dict[str, int] = {}

    @contextmanager
    def wait(self, turn: Any) -> Iterator[None]:
        """Wait until all earlier requests were answered. This one counts as answered when the
        context ends.

        ``turn`` is ``[page, number]``, with numbers from 0; any other value does not wait.
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
