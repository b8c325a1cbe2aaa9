"""Views that are tables: the browser gets a window of rows at a time, wherever one looks.

So a million rows cost it no more than a hundred.
"""

from __future__ import annotations

from typing import Any

import traitlets

from branchpoint.views.view import View

FIRST = 100
"""Rows that come unasked."""
_MOST = 1000  # rows of one answer
_SLICE = 0.2  # wall seconds of searching between two answers


class RowsView(View):
    """A view with a table. Its rows have a generation: a number that is another one when they are.

    A subclass has ``_rows``, and counts ``_generation`` up when it shows other rows.
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
    """A view with a table of what a search finds, which takes many answers where it takes long.

    A subclass has ``_search`` and ``_found``, and calls ``_begin_search`` when something else is
    searched for.
    """

    state = traitlets.Dict().tag(sync=True)

    def _search(self, seconds: float) -> None:
        """Go on searching for about so many wall seconds."""
        raise NotImplementedError

    def _found(self) -> dict[str, Any]:
        """What the browser is told of the search: ``count`` rows found, in what share ``scanned``
        of ``total``, and whatever else.
        """
        raise NotImplementedError

    def _begin_search(self) -> None:
        """Show what is found at once."""
        self._generation += 1
        self._search(_SLICE)
        at = self._opens_at()
        start = max(at - FIRST // 2, 0)
        rows = {"at": at, "start": start, "first": self._rows(start, FIRST)}
        self.state = {"generation": self._generation, **self._found(), **rows}

    def _opens_at(self) -> int:
        """The row that is to be in sight at first; -1: the first one."""
        return -1

    def _go_on(self) -> None:
        """Show what is found by now; rows that are shown stay where they are."""
        self._search(_SLICE)
        self.state = {"generation": self._generation, **self._found()}

    def _on_more(self, message: dict[str, Any]) -> None:
        if message["generation"] == self._generation:
            self._go_on()
