"""The log explorer: events as a table to scroll, search, follow, and pick moments in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import traitlets

from branchpoint.clock import Time, format_vtime, to_ns
from branchpoint.errors import BranchpointError, TimeError
from branchpoint.events import tables
from branchpoint.events.event import LOG, Event, EventSet
from branchpoint.events.listing import TITLES, inert, name
from branchpoint.events.queries import Positions, Where
from branchpoint.timeline.moment import Moment
from branchpoint.views.folds import KERNEL, Fold, Folds, only_kernel
from branchpoint.views.rows import FIRST, SLICE, SearchView
from branchpoint.views.selection import HOW, Filter, Lowered, Nearby, Selection, facets
from branchpoint.views.view import bundle

_EVERY = 0.2  # wall seconds between two updates while a branch runs
_TEXT = 2000  # characters of text in a row; the chosen row shows the full text
_HEAD, _TAIL = 10, 20  # rows at the beginning and at the end of a static view
_BEFORE = 20  # rows before the failure in a static view; it has _HEAD + _TAIL in all
_WIDTH = 300  # characters of text in a row of a static view


class LogView(SearchView):
    """A log explorer, made by ``events.explore()``.

    ``view.moment`` is the moment of the chosen row, ``view.events`` are the events it shows.
    """

    kind = "log"
    _esm = bundle("log.js")
    chosen = traitlets.Dict().tag(sync=True)
    following = traitlets.Bool().tag(sync=True)
    folding = traitlets.Bool(True).tag(sync=True)

    def __init__(
        self, events: EventSet, *, follow: bool | None = None, fold: bool = True, **filters: Any
    ) -> None:
        """``filters`` are those of :meth:`filter`. ``follow`` opens the log at the newest events
        and keeps them visible while a branch runs; the default (None) follows a branch that is
        shown up to its tip, and opens everything else at the failure. ``fold`` shows repeated
        lines as one row, and neighbouring lines of the kernel as one row.
        """
        self._events = events
        self._opened: set[int] = set()
        self._only_kernel = only_kernel(events.columns, events.positions)
        self._lowered = Lowered()
        self._position: int | None = None
        self._facets = facets(events.columns, events.positions)
        self._filter = _filter_of(filters)
        self._selection = Selection(events, self._filter, self._lowered)
        history = events.history
        self._on_branch = history is not None and history.parent is not None
        self._live = self._on_branch and len(history.log) == len(events.columns)
        super().__init__(following=self._live if follow is None else follow, folding=fold)
        self._begin(self._filter)
        self.observe(lambda _: self._begin(self._filter), "folding")
        if self._live:
            self._follow(history, self._grew, _EVERY)

    # -- for Python

    def filter(
        self,
        text: str | None = None,
        *,
        regex: str | None = None,
        case: bool = False,
        container: str | Iterable[str] = (),
        stream: str | Iterable[str] = (),
        type: str | Iterable[str] = (),
        start: Any = "",
        end: Any = "",
        preceded_by: Any = None,
        not_preceded_by: Any = None,
        followed_by: Any = None,
        not_followed_by: Any = None,
    ) -> LogView:
        """Show only events that match all of these conditions; without any, show all events.

        ``text`` is a part of the text, ``regex`` a regular expression searched in it; both ignore
        case unless ``case`` is set. ``container``, ``stream`` and ``type`` are names or patterns;
        ``"(kernel)"`` means lines of the kernel, which belong to no container. ``start`` and
        ``end`` are virtual seconds. The others are queries such as ``"exit:db.*"``, or pairs of a
        query and its largest distance in virtual seconds.

        :raises BranchpointError: for ``text`` together with ``regex``, or an invalid condition.
        """
        self._begin(
            _filter_of(
                {
                    "text": text, "regex": regex, "case": case, "container": container,
                    "stream": stream, "type": type, "start": start, "end": end,
                    "preceded_by": preceded_by, "not_preceded_by": not_preceded_by,
                    "followed_by": followed_by, "not_followed_by": not_followed_by,
                }
            )
        )  # fmt: skip
        return self

    def narrow(self, start: Any = "", end: Any = "") -> LogView:
        """Show only events between two instants; the rest of the filter stays."""
        self._begin(replace(self._filter, start=_seconds(start), end=_seconds(end)))
        return self

    @property
    def events(self) -> EventSet:
        """The events that are shown."""
        return self._filter.applied(self._events)

    @property
    def moment(self) -> Moment | None:
        """The moment of the row that was chosen last; None when nothing was chosen."""
        if self._position is None or self._events.moment_of is None:
            return None
        found: Moment = self._events.moment_of(int(self._events.columns.at[self._position]))
        return found

    @property
    def event(self) -> Event | None:
        """The event of the row that was chosen last; None when nothing was chosen."""
        if self._position is None:
            return None
        return self._events.columns.event(self._position, self._events.origin)

    def select(self, instant: Any) -> LogView:
        """Choose the first shown event at or after ``instant``: virtual seconds, an event or a
        moment.

        :raises BranchpointError: when no event at or after it is shown.
        """
        found = self.events.where(start=instant)
        if not found:
            raise BranchpointError(f"no event is shown at or after {instant}")
        self._choose(int(found.positions[0]))
        return self

    def reveal(self, instant: Any) -> LogView:
        """Scroll to the first shown event at or after ``instant``."""
        at = self._events._instant(instant)
        assert at is not None
        row = self._folds.row_of(self._selection.first_at(at))
        self.send({"answer": "seek", "row": row})
        return self

    # -- what it shows

    def _begin(self, filter: Filter) -> None:
        """Show the events that match a filter, as far as they are found at once."""
        self._selection = Selection(self._events, filter, self._lowered)
        self._filter = filter
        self._folds = self._folded(self._opened)
        self._begin_search()

    def _search(self, seconds: float) -> None:
        self._selection.work(seconds)
        self._folds.grow(self._events.columns, self._selection.positions)

    def _folded(self, opened: Iterable[int] = ()) -> Folds:
        """Folds without events yet. With a search for text, or a filter such as "(kernel)", the
        kernel's lines are not folded.
        """
        asked = self._filter
        named = bool(asked.text) or any(name.startswith("(") for name in asked.container)
        kernel = self.folding and not named and not self._only_kernel
        return Folds(same=self.folding, kernel=kernel, opened=opened)

    def _opens_at(self) -> int:
        if self.following:
            return len(self._folds) - 1
        number = -1 if self._filter.text else self._failure(self._selection.positions)
        return -1 if number < 0 else self._folds.row_of(number)

    def _failure(self, positions: Positions) -> int:
        """The number, among the events at these positions, of the failure or of the last event
        before it; -1 when nothing failed. The positions are in the order of time.
        """
        at = self._failed_at
        if at is None:
            return -1
        return int(np.searchsorted(self._events.columns.at[positions], at, "right")) - 1

    @cached_property
    def _failed_at(self) -> int | None:
        """Absolute ns of the recording's failure, if it is on this timeline; otherwise of the last
        exit of a container that nobody asked for.
        """
        events, run = self._events, self._run
        if run is not None:
            failed = run.manifest.failure
            fork = None if events.history is None else events.history.parent and events.history.fork
            if failed is not None and (not fork or failed <= fork.at):
                return int(failed)
        whole = EventSet(events.columns, origin=events.origin)
        last = (whole.where(type="container.exit") - Where(fields={"asked": "1"})).last
        return None if last is None else last.at

    @cached_property
    def _run(self) -> Any:
        """The recording that the events are of; None when they are of none, or have no moments."""
        events = self._events
        if events.moment_of is None or not len(events.columns):
            return None
        try:
            return getattr(events.moment_of(int(events.columns.at[-1])), "run", None)
        except TimeError:  # all of them are from before the first instant that can be visited
            return None

    def _found(self) -> dict[str, Any]:
        selection, folds = self._selection, self._folds
        columns = self._events.columns
        tail = max(len(folds) - FIRST, 0)
        return {
            "count": len(selection),
            "rows": len(folds),
            "total": len(self._events),
            "scanned": 1.0 if selection.done else selection.scanned,
            "filter": self._filter.state(),
            "code": self._filter.code(self._source()),
            "branch": self._on_branch,
            # as the panel names it
            "recording": "" if self._run is None else os.path.relpath(self._run.path),
            "live": self._live,
            "last": int(columns.at[-1]) - self._events.origin if len(columns) else 0,
            "tail": [tail, self._rows(tail, FIRST)] if self._live else None,
            "facets": self._facets,
        }

    def _source(self) -> str:
        """What the code for the shown events begins with. Only the recording's own events have a
        name that is known; others have the one that their user gave them.
        """
        history, count = self._events.history, len(self._events)
        if history is None or not count == len(self._events.columns) == len(history.log):
            return "events"
        return "branch.events" if self._on_branch else "run.events"

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """Rows for the browser: position, ns since vtime 0, container, stream, type, text, whether
        it is a violated assertion, how many events it stands for, and its kind of fold.
        """
        columns, origin = self._events.columns, self._events.origin
        known = columns.names.known
        rows = []
        positions = self._selection.positions
        for first, number, what in self._folds.rows(start, count):
            position = int(positions[first])
            name = known[columns.container[position]]
            rows.append(
                [
                    position,
                    int(columns.at[position]) - origin,
                    name or f"({known[columns.source[position]]})",
                    known[columns.stream[position]],
                    known[columns.type[position]],
                    columns.texts[position][:_TEXT],
                    columns.fields.get(position, {}).get("violated") == "1",
                    number,
                    what,
                ]
            )
        return rows

    def _grew(self) -> None:
        """Time has passed in the branch."""
        log = self._events.history.log
        if len(log) == len(self._events.columns):
            return
        self._events = self._events.on(log.columns())
        kept = self._selection
        self._selection = kept.grown(self._events)
        self._selection.work(SLICE)
        self._facets = facets(self._events.columns, self._events.positions)
        if not np.array_equal(self._selection.positions[: len(kept)], kept.positions):
            self._folds = self._folded(self._opened)
            self._folds.grow(self._events.columns, self._selection.positions)
            self._renew()
            return
        self._go_on()

    def _choose(self, position: int) -> None:
        self._position = position
        self._show_chosen()
        self._tell_chosen()

    def _show_chosen(self) -> None:
        position = self._position
        assert position is not None
        event = self.event
        assert event is not None
        moment, positions = self.moment, self._selection.positions
        number = int(positions.searchsorted(position))
        shown = number < len(positions) and positions[number] == position
        self.chosen = {
            "position": position,
            "row": self._folds.row_of(number) if shown else -1,  # it may have been filtered out
            "vtime": format_vtime(event.at - event.origin),
            "id": moment.id if moment is not None else "",
            "text": event.text,
            "fields": {key: str(value) for key, value in event.fields.items()},
        }

    def _open(self, position: int) -> None:
        """Show the events of the row that begins at ``position`` in full, or fold them again."""
        self._opened ^= {position}
        self._folds = self._folded(self._opened)
        self._folds.grow(self._events.columns, self._selection.positions)
        self._renew(self._folds.row_of(int(self._selection.positions.searchsorted(position))))

    def _renew(self, row: int = 0) -> None:
        """Show other rows where the page has scrolled to; those around ``row`` come at once."""
        self._generation += 1
        start = max(row - FIRST // 2, 0)
        if self._position is not None:
            self._show_chosen()  # it may be in another row now
        rows = {"at": -1, "start": start, "first": self._rows(start, FIRST), "stays": True}
        self.state = {"generation": self._generation, **self._found(), **rows}

    # -- requests of the browser

    def _on_open(self, message: dict[str, Any]) -> None:
        position = int(message["position"])
        if 0 <= position < len(self._events.columns):
            self._open(position)

    def _on_filter(self, message: dict[str, Any]) -> None:
        self._begin(Filter.of(message["filter"]))

    def _on_select(self, message: dict[str, Any]) -> None:
        position = int(message["position"])
        if 0 <= position < len(self._events.columns):
            self._choose(position)

    def _on_seek(self, message: dict[str, Any]) -> None:
        self.reveal(str(message["vtime"]))

    # -- static

    def _table(self) -> tuple[list[tuple[str, ...]], str]:
        """Rows of the static view, and how many events there are in all."""
        columns, positions = self._events.columns, self.events.positions
        folds = self._folded()
        folds.grow(columns, positions)
        count, failure = len(folds), self._failure(positions)
        parts = [range(count)]
        if count > _HEAD + _TAIL and failure >= 0:
            last = min(max(folds.row_of(failure) + 1 + _HEAD, _BEFORE + _HEAD), count)
            parts = [range(last - _BEFORE - _HEAD, last)]
        elif count > _HEAD + _TAIL:
            parts = [range(_HEAD), range(count - _TAIL, count)]
        rows: list[tuple[str, ...]] = []
        told = 0
        for part in parts:
            shown = folds.rows(part.start, len(part))
            if shown and shown[0].first > told:
                rows.append(_left_out(shown[0].first - told))
            for fold in shown:
                event = columns.event(int(positions[fold.first]), self._events.origin)
                rows.append(_row(event, fold))
            told = shown[-1].first + shown[-1].size if shown else 0
        if told < len(positions):
            rows.append(_left_out(len(positions) - told))
        return rows, _number(len(positions))

    def _foot(self, count: str) -> str:
        code = self._filter.code("events")
        return f"{count}: {inert(code, _WIDTH)}" if code != "events" else count

    def _fallback_html(self) -> str:
        rows, count = self._table()
        return tables.html(TITLES, rows, verbatim="text") + tables.note(self._foot(count))

    def __repr__(self) -> str:
        rows, count = self._table()
        table = [TITLES, *rows]
        widths = [max(len(row[column]) for row in table) for column in range(3)]
        lines = [
            f"{at:>{widths[0]}}  {who:<{widths[1]}}  {what:<{widths[2]}}  {text}".rstrip()
            for at, who, what, text in table
        ]
        return "\n".join([*lines, self._foot(count)])


def _left_out(count: int) -> tuple[str, ...]:
    return ("…", "", "", f"… {count} more …")


def _row(event: Event, fold: Fold) -> tuple[str, ...]:
    text = inert(event.text, _WIDTH)
    if fold.what == KERNEL:
        text = f"… {fold.size} lines of the kernel …"
    elif fold.size > 1:
        text += f"  × {fold.size}"
    return (
        f"{event.vtime:.6f}",
        name(event.container or f"({event.source})", 40),
        name(event.stream if event.type == LOG else event.type, 30),
        text,
    )


def _number(count: int) -> str:
    return f"{count} event{'' if count == 1 else 's'}"


def _filter_of(given: dict[str, Any]) -> Filter:
    """A filter from the keywords of :meth:`LogView.filter`."""
    text, regex = given.pop("text", None), given.pop("regex", None)
    if text and regex:
        raise BranchpointError(
            "text and regex cannot both be given", "write the text as a part of the regex"
        )
    near = []
    for how in HOW:
        asked = given.pop(how, None)
        if asked is not None:
            query, within = (asked, "") if isinstance(asked, str) else asked
            near.append(Nearby(how, query, str(within)))
    found = Filter(
        text=text or regex or "",
        is_regex=bool(regex),
        case=bool(given.pop("case", False)),
        container=_names(given.pop("container", ())),
        stream=_names(given.pop("stream", ())),
        type=_names(given.pop("type", ())),
        start=_seconds(given.pop("start", "")),
        end=_seconds(given.pop("end", "")),
        near=tuple(near),
    )
    if given:
        raise BranchpointError(f"a log has no filter {next(iter(given))}")
    return found


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _seconds(given: Any) -> str:
    """Virtual seconds of a number, an event, a moment or the end of a branch."""
    vtime = getattr(getattr(given, "end", given), "vtime", given)
    if isinstance(vtime, Time | timedelta):
        return format_vtime(to_ns(vtime))
    return "" if given is None else str(vtime)
