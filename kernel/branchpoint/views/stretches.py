"""The map of an exploration: its stretches as a tree, to look at those that found something."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import traitlets

from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.search.exploration import Exploration
from branchpoint.search.tree import ROOT, Node
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.moment import Moment
from branchpoint.views.rows import FIRST, RowsView
from branchpoint.views.view import bundle

MOST = 300
"""Most stretches that have a row of their own; the others are one row where they leave them."""
_STATIC = 40  # rows of the static view
_WIDTH = 90  # characters of a title
_SEEN = 200  # ... of what is new in a stretch


@dataclass(eq=False)
class Row:
    """A stretch, or all that leave one and have no rows of their own."""

    kind: str
    """"recording" (set-up), "branch" (a stretch), "futures" (the others below one)."""
    start: int
    end: int
    title: str
    parent: int = -1
    depth: int = 0
    verdict: str = ""
    numbers: list[int] = field(default_factory=list)
    """Of the stretches that it stands for, ascending."""
    failed: int = 0


def rows_of(found: Exploration, most: int = MOST) -> list[Row]:
    """The rows of the tree, each before what continues it, set-up first.

    With too many stretches, those on the way to the first failure of each kind come first, then
    those in which most was new, the earlier one of equals.
    """
    tree = found.tree
    shown = _shown(found, most)
    below: dict[int, list[int]] = {}
    others: dict[int, list[int]] = {}
    under = [ROOT] * (len(tree) + 1)  # the nearest stretch with a row, itself included
    for node in tree.nodes:
        above = under[node.parent]
        under[node.number] = node.number if node.number in shown else above
        (below if node.number in shown else others).setdefault(above, []).append(node.number)
    rows: list[Row] = []
    stack = [(ROOT, -1, 0)]
    while stack:
        number, parent, depth = stack.pop()
        place = len(rows)
        rows.append(_row(found, number, parent, depth))
        if number in others:
            rows.append(_rest(found, others[number], place, depth + 1))
        stack += [(each, place, depth + 1) for each in reversed(below.get(number, []))]
    return rows


def _shown(found: Exploration, most: int) -> set[int]:
    tree = found.tree
    if len(tree) <= most:
        return set(range(1, len(tree) + 1))
    first = [finding.nodes[0] for finding in found.findings]
    new = sorted((n for n in tree.nodes if n.new), key=lambda n: (-_news(n), n.number))
    shown: set[int] = set()
    for number in (*first, *(node.number for node in new)):
        way = set(tree.path(number)) - shown
        if len(shown) + len(way) <= most:
            shown |= way
    return shown


def _news(node: Node) -> int:
    return len(node.fresh) + len(node.fresh_code)


def _row(found: Exploration, number: int, parent: int, depth: int) -> Row:
    if number == ROOT:
        return Row("recording", found.tree.start, found.tree.start, "set-up is complete")
    node = found.tree[number]
    title = inert(f"{number}  {_told(node)}".rstrip(), _WIDTH)
    verdict = "failed" if node.failure else "passed"
    return Row("branch", node.start, node.end, title, parent, depth, verdict, [number])


def _rest(found: Exploration, numbers: list[int], parent: int, depth: int) -> Row:
    nodes = [found.tree[number] for number in numbers]
    failed = sum(bool(node.failure) for node in nodes)
    title = f"{len(nodes)} more stretch{'es' * (len(nodes) != 1)}: {failed} failed"
    start, end = min(node.start for node in nodes), max(node.end for node in nodes)
    verdict = "failed" if failed else "passed"
    return Row("futures", start, end, title, parent, depth, verdict, numbers, failed)


def _told(node: Node) -> str:
    """What failed in a stretch, or was new."""
    if node.failure:
        return f"{node.failure}: {node.kind or '?'}"
    places = len(node.fresh_code)
    told = [*node.fresh, *([f"{places} place{'s' * (places != 1)} of code"] if places else [])]
    return f"new: {'; '.join(told)}" if told else ""


class ExplorationMap(RowsView):
    """A map, made by ``exploration.map()``.

    ``view.stretch`` is the number of the chosen stretch, ``view.branch`` its timeline and
    ``view.moment`` its end; to have these, it is run again. ``view.update()`` also draws stretches
    that were added later.
    """

    kind = "exploration"
    _esm = bundle("map.js")
    state = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, found: Exploration) -> None:
        self._found = found
        self._tree: Sequence[Row] = ()
        self._listed: list[int] = []
        self._stretch: int | None = None
        super().__init__()
        self.update()

    # -- for Python

    @property
    def stretch(self) -> int | None:
        """The number of the chosen stretch; None when none is."""
        return self._stretch

    @property
    def branch(self) -> Branch | None:
        """The timeline of the chosen stretch, run again; None when none is chosen."""
        return None if self._stretch is None else self._found.branch(self._stretch)

    @property
    def moment(self) -> Moment | None:
        """The end of the chosen stretch, which is run again; None when none is chosen."""
        return None if self._stretch is None else self._found.branch(self._stretch).end

    def update(self) -> ExplorationMap:
        """Draw the tree as it is now."""
        self._tree = rows_of(self._found)
        self._stretch, self._listed = None, []
        self.chosen = {}
        origin = self._found.origin
        names = dict.fromkeys(finding.failure for finding in self._found.findings)
        self.state = {
            "failure": ", ".join(names) or "none was found",
            "earlier": False,
            "more": False,
            "span": [self._found.tree.start - origin, max(r.end for r in self._tree) - origin],
            "what": "stretch",
            "told": "what failed, or was new",
            "count": len(self._found.tree),
            "left_out": sum(len(row.numbers) for row in self._tree if row.kind == "futures"),
            "nodes": [
                [r.kind, r.start - origin, r.end - origin, r.parent, r.depth, r.verdict, r.title,
                 [r.failed, len(r.numbers) - r.failed, 0]]
                for r in self._tree
            ],
        }  # fmt: skip
        return self

    def select(self, stretch: int) -> ExplorationMap:
        """Choose a stretch by its number, whether it has a row of its own or not.

        :raises BranchpointError: when there is no stretch of that number.
        """
        for number, row in enumerate(self._tree):
            if stretch in row.numbers:
                self._choose(number)
                if row.kind == "futures":
                    self._choose_listed(row.numbers.index(stretch))
                return self
        count = len(self._found.tree)
        raise BranchpointError(f"there is no stretch {stretch}", f"there are 1 to {count}")

    # -- what it shows

    def _choose(self, number: int) -> None:
        row = self._tree[number]
        group = row.kind == "futures"
        self._stretch = row.numbers[0] if row.numbers and not group else None
        self._listed = row.numbers if group else []
        self._generation += 1
        self.chosen = {
            "generation": self._generation,
            "number": number,
            "id": "",
            "code": self._code,
            "title": row.title,
            "inputs": [],
            "count": len(self._listed),
            "rows": self._rows(0, FIRST),
            "future": -1,
        }

    def _choose_listed(self, place: int) -> None:
        if not 0 <= place < len(self._listed):
            raise BranchpointError(f"this row of the map has no stretch {place}")
        self._stretch = self._listed[place]
        self.chosen = {**self.chosen, "future": place, "code": self._code}

    @property
    def _code(self) -> str:
        return "" if self._stretch is None else f"exploration.branch({self._stretch})"

    def _rows(self, start: int, count: int) -> list[list[Any]]:
        """Stretches: seed, verdict, seconds until it failed, what was new, number."""
        rows = []
        for node in map(self._found.tree.__getitem__, self._listed[start : start + count]):
            after = (
                "" if node.failed_at is None else f"{(node.failed_at - node.start) / SECOND:.3f}"
            )
            verdict = "failed" if node.failure else "passed"
            told = inert(_told(node), _SEEN)
            rows.append([str(node.seed), verdict, after, told, f"stretch {node.number}"])
        return rows

    # -- requests of the browser

    def _on_update(self, _: dict[str, Any]) -> None:
        self.update()

    def _on_select(self, message: dict[str, Any]) -> None:
        number = int(message["number"])
        if not 0 <= number < len(self._tree):
            raise BranchpointError(f"the map has no row {number}")
        self._choose(number)

    def _on_future(self, message: dict[str, Any]) -> None:
        self._choose_listed(int(message["number"]))

    # -- static

    def _lines(self) -> Iterator[tuple[str, ...]]:
        for row in self._tree[:_STATIC]:
            verdict = row.verdict if row.kind == "branch" else ""
            times = (format_vtime(at - self._found.origin) for at in (row.start, row.end))
            yield ("\u2003" * row.depth + row.title, verdict, *times)

    def _fallback_html(self) -> str:
        titles = ("stretch", "verdict", "from (s)", "to (s)")
        return tables.html(titles, list(self._lines())) + tables.note(self._foot())

    def _foot(self) -> str:
        count, more = len(self._found.tree), len(self._tree) - _STATIC
        words = f"{count} stretch{'es' * (count != 1)} of {self._found.path.name}"
        return words + (f"; {more} rows of the map not shown" if more > 0 else "")

    def __repr__(self) -> str:
        return "\n".join([*("  ".join(filter(None, line)) for line in self._lines()), self._foot()])
