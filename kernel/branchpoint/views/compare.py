"""Two timelines side by side, to scroll in."""

from __future__ import annotations

from typing import Any

import numpy as np
import traitlets

from branchpoint.events.event import LOG, Event
from branchpoint.timeline.comparing import Comparison
from branchpoint.timeline.moment import Moment
from branchpoint.views.rows import FIRST, RowsView
from branchpoint.views.view import bundle

_TEXT = 1000  # characters of a text


class ComparisonView(RowsView):
    """Two logs side by side, made by ``comparison.explore()``.

    ``view.moments``, and its ``value``, are the moments of the chosen row.
    """

    kind = "compare"
    _esm = bundle("compare.js")
    state = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, comparison: Comparison, *, only_differences: bool = False) -> None:
        self.comparison = comparison
        self._number: int | None = None
        super().__init__()
        self.show(only_differences=only_differences)

    def show(self, *, only_differences: bool) -> ComparisonView:
        """Show all rows, or only rows whose event is missing in one of the timelines."""
        comparison = self.comparison
        self._numbers = np.arange(len(comparison))
        if only_differences:
            self._numbers = comparison.numbers_of_differences
        self._generation += 1
        first = comparison.first_number
        row = 0 if first is None else int(np.searchsorted(self._numbers, first))
        start = max(row - FIRST // 2, 0)
        self.state = {
            "generation": self._generation,
            "count": len(self._numbers),
            "differences": len(comparison.numbers_of_differences),
            "only": only_differences,
            "a": comparison.a.id,
            "b": comparison.b.id,
            "first": -1 if first is None else row,
            "start": start,
            "rows": self._rows(start, FIRST),
        }
        return self

    @property
    def moments(self) -> tuple[Moment | None, Moment | None]:
        """The moments of the chosen row in both timelines; None where an event is missing."""
        if self._number is None:
            return None, None
        pair = self.comparison[self._number]
        sides = (self.comparison.a, self.comparison.b)
        one, other = (
            None if event is None else side._at(event.at)
            for event, side in zip(pair, sides, strict=True)
        )
        return one, other

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """Rows for the browser: number, container, and for each side [ns since vtime 0, stream or
        type, text], or None where the event is missing.
        """
        rows = []
        for number in self._numbers[start : start + count].tolist():
            pair = self.comparison[number]
            known = pair.a or pair.b
            assert known is not None
            sides = [_side(event) for event in pair]
            rows.append([number, known.container or f"({known.source})", *sides])
        return rows

    def _tell_chosen(self) -> None:
        self.set_trait("value", self.moments)

    # -- requests of the browser

    def _on_show(self, message: dict[str, Any]) -> None:
        self.show(only_differences=bool(message["only"]))

    def _on_select(self, message: dict[str, Any]) -> None:
        number = int(message["number"])
        pair = self.comparison[number]
        self._number = number
        ids = ["" if moment is None else moment.id for moment in self.moments]
        texts = ["" if event is None else event.text for event in pair]
        self.chosen = {"number": number, "ids": ids, "texts": texts}
        self._tell_chosen()

    # -- static

    def _fallback_html(self) -> str:
        return self.comparison._repr_html_()

    def __repr__(self) -> str:
        return repr(self.comparison)


def _side(event: Event | None) -> list[Any] | None:
    if event is None:
        return None
    what = event.stream if event.type == LOG else event.type
    return [event.at - event.origin, what, event.text[:_TEXT]]
