"""Views that are tables: the browser only gets the rows around those that are visible.

So a million rows cost it no more than a hundred.
"""

from __future__ import annotations

from typing import Any

import traitlets

from branchpoint.views.view import View

FIRST = 100
"""Rows that are sent at first, without a request."""
_MOST = 1000  # most rows in one answer
SLICE = 0.2  # wall seconds of searching between two answers


class RowsView(View):
    """A view with a table. Its rows have a generation: a number that changes when the rows change.

    A subclass defines ``_rows``, and increments ``_generation`` when it shows other rows.
    """

    _generation = 0

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """At most ``count`` rows for the browser, from the one numbered ``start`` on."""
        raise NotImplementedError

    def _on_rows(self, message: dict[str, Any]) -> None:
        start, count = int(message["start"]), int(message["count"])
        if message["generation"] == self._generation and start >= 0:
            rows = self._rows(start, min(max(count, 0), _MOST))
            answer = {"answer": "rows", "generation": self._generation, "start": start}
            self.send({**answer, "rows": rows})


class SearchView(RowsView):
    """A view with a table of search results. A long search sends its results in many answers.

    A subclass defines ``_search`` and ``_found``, and calls ``_begin_search`` for each new search.
    """

    state = traitlets.Dict().tag(sync=True)

    def _search(self, seconds: float) -> None:
        """Continue the search for about so many wall seconds."""
        raise NotImplementedError

    def _found(self) -> dict[str, Any]:
        """What the browser is told about the search: ``count`` (found so far), ``total`` (searched
        in), ``scanned`` (the part of it that is searched already, 0 to 1), and other keys.
        """
        raise NotImplementedError

    def _begin_search(self) -> None:
        """Show what is found at once."""
        self._generation += 1
        self._search(SLICE)
        at = self._opens_at()
        start = max(at - FIRST // 2, 0)
        rows = {"at": at, "start": start, "first": self._rows(start, FIRST)}
        self.state = {"generation": self._generation, **self._found(), **rows}

    def _opens_at(self) -> int:
        """The row that is visible at first; -1: the first one."""
        return -1

    def _go_on(self) -> None:
        """Continue the search and show what is found; rows on the screen stay where they are."""
        self._search(SLICE)
        self.state = {"generation": self._generation, **self._found()}

    def _on_more(self, message: dict[str, Any]) -> None:
        if message["generation"] == self._generation:
            self._go_on()
