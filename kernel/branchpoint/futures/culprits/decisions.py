"""Which decisions of Python programs decide that it fails: each was turned in futures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Protocol, TypeVar

from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.source import Spot
from branchpoint.futures.statistics.exact import LIMIT, percent
from branchpoint.programs.python import Decision

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 8  # that are shown
_TEXT = 60  # characters of a line that are shown
_SIGNS = 2  # of what happens instead that are shown
_NAME = 90  # characters of where it is, and of a sign
FEWEST = 3
"""Failing futures whose decisions are told, and without which nothing can be tried."""
_ALIKE = 2
"""Decisions change about as little else as the best one if it is at most so many times as much."""


@dataclass(frozen=True)
class Decided:
    """What becomes of the failure when a condition of a program counts as the other way round."""

    decision: Decision
    """What was turned."""
    spot: Spot
    """Its line."""
    text: str
    """That line, if its source is in an image."""
    condition: tuple[int, int]
    """Which condition of the line it is, of how many that were tried."""
    before: Rate
    """How often it fails as it is."""
    after: Rate
    """How often it fails with the decision turned."""
    censored: int
    """Futures with it turned that ended early and are not counted."""
    chance: float
    """At most how probable it is that chance makes any of the decisions that were tried look as
    extreme (Fisher's exact test, two-sided, with Bonferroni's correction). Futures of both kinds
    have the same seeds; if that makes them more alike, the true probability is smaller."""
    instead: tuple[str, ...]
    """Exits, violated assertions and the like that come with it turned only."""
    lost: int
    """Lines of the system that run before each failure, and never with it turned."""
    new: int
    """Lines of the system that run with it turned only."""

    @property
    def found(self) -> bool:
        """Whether turning it prevents the failure, by more than chance."""
        return not self.after.failed and not self.censored and self.chance < LIMIT

    @property
    def changed(self) -> int:
        """How many lines of the system run no more, or newly."""
        return self.lost + self.new

    @property
    def where(self) -> str:
        """``retransmitter.py:52 TipRetransmitter._answer``."""
        number, count = self.condition
        which = f" (condition {number} of {count})" if count > 1 else ""
        return inert(f"{self.spot.place} {self.spot.function}{which}", _NAME)

    @property
    def others(self) -> str:
        """What else turning it changes, in words."""
        code = f"{self.lost} lines run no more, {self.new} others do"
        return ", ".join([*(inert(sign, _NAME) for sign in self.instead[:_SIGNS]), code])

    def __str__(self) -> str:
        text = f"  {inert(self.text, _TEXT)}" if self.text else ""
        return f"{self.where}: fails in {self.before} → {self.after}; {self.others}{text}"


class Changes(Protocol):
    """What else is different with a decision turned."""

    @property
    def instead(self) -> tuple[str, ...]: ...

    @property
    def changed(self) -> int: ...


T = TypeVar("T")


def by_change(tried: Sequence[T], changes: Callable[[T], Changes]) -> list[T]:
    """Those that change little else first, in the order in which they are given, which is that in
    which they run; then the others by how much they change.
    """
    told = [changes(each) for each in tried]
    least = min((each.changed for each in told if not each.instead), default=0)

    def rank(place: int) -> tuple[int, int]:
        it = told[place]
        little = not it.instead and it.changed <= _ALIKE * least
        return len(it.instead), 0 if little else it.changed

    return [tried[place] for place in sorted(range(len(tried)), key=rank)]


class Decisions:
    """Which conditions of Python programs decide that it fails.

    A condition (of ``if``, ``while``, ``and``, ``assert`` and the like) is turned: from the moment
    on, the program goes on as if it were false where it is true, and true where it is false.
    Nothing else is changed. If it then does not fail any more, the failure depends on it: a fault
    lies in that condition, or in what it lets through.

    A program whose condition is turned may also do nothing at all any more, and so not fail. So
    what else changes is told. Those that change little come first (no other exits, and at most
    twice as many lines as the one that changes least), in the order in which they run: causes come
    before effects. The others follow by how much they change.
    """

    def __init__(self, rows: Sequence[Decided], about: str, before: Rate) -> None:
        """``rows`` are in the order in which they run first."""
        found = by_change([row for row in rows if row.found], lambda row: row)
        self.rows = found + by_change([row for row in rows if not row.found], lambda row: row)
        """All that were tried."""
        self.about = about
        """What was compared."""
        self.before = before
        """How often it fails as it is."""

    @property
    def decisive(self) -> list[Decided]:
        """Those that prevent the failure when they are turned."""
        return [row for row in self.rows if row.found]

    @property
    def futures(self) -> int:
        """How many futures it rests on."""
        return self.before.trials + sum(row.after.trials + row.censored for row in self.rows)

    @property
    def conclusion(self) -> str:
        """What it shows."""
        if not self.rows:
            if self.before.failed < FEWEST:
                return (
                    f"too few failures to tell: {self.before} futures failed; take a moment from "
                    "which it fails more often: run.likelihood"
                )
            return (
                "no decision of a Python program (3.11 to 3.13) is known to run from there to the "
                "failure; take an earlier moment, or another pattern"
            )
        tried = f"{len(self.rows)} decisions were turned, one at a time"
        if len(self.rows) == 1:
            tried = "one decision was turned"
        if not self.decisive:
            return f"{tried}: none is found that prevents the failure"
        verb = "prevents" if len(self.decisive) == 1 else "prevent"
        once = sum(not row.found and row.after == Rate(0, 1) for row in self.rows)
        do = "does" if once == 1 else "do"
        more = f"; {once} more {do} so in the one future that was tried" if once else ""
        return f"{tried}: {len(self.decisive)} {verb} the failure{more}"

    @property
    def frame(self) -> pd.DataFrame:
        """One row per decision: file, function, line, condition, text, failed and trials (turned),
        chance, found, instead, lost, new.
        """
        import pandas as pd

        titles = [
            "file", "function", "line", "condition", "text", "failed", "trials", "chance", "found",
            "instead", "lost", "new",
        ]  # fmt: skip
        rows = [
            [row.spot.file, row.spot.function, row.spot.line, row.condition[0], row.text,
             row.after.failed, row.after.trials, row.chance, row.found, ", ".join(row.instead),
             row.lost, row.new]
            for row in self.rows
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=titles)

    def _shown(self) -> tuple[list[Decided], str]:
        found = self.decisive
        more = len(found) - _ROWS
        return found[:_ROWS], f"{more} more: .frame has all" if more > 0 else ""

    def __repr__(self) -> str:
        shown, more = self._shown()
        return "\n".join(filter(None, [self.about, self.conclusion, *map(str, shown), more]))

    def _repr_html_(self) -> str:
        shown, more = self._shown()
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.about, self.conclusion))
        return lines + table_of(shown) + (tables.note(more) if more else "")


def table_of(rows: Sequence[Decided]) -> str:
    """A table in HTML; empty when there are none."""
    cells = [
        (row.where, inert(row.text, _TEXT), str(row.before), str(row.after), row.others,
         percent(row.chance))
        for row in rows
    ]  # fmt: skip
    titles = ("turned", "code", "fails as it is", "turned", "what else changes", "by chance")
    return tables.html(titles, cells, verbatim="code") if cells else ""
