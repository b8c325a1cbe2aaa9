"""What failing futures have that passing ones have not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from html import escape
from typing import TYPE_CHECKING

from branchpoint.explore.draws import Draw
from branchpoint.explore.proportion import LEVEL, difference
from branchpoint.timeline import tables
from branchpoint.timeline.listing import inert

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 12  # causes that are shown
_WIDTH = 80  # characters of a cause that are shown


@dataclass(frozen=True)
class Compared:
    """One cause: in how many failing and in how many passing futures it happened."""

    cause: str
    failing: int
    passing: int
    failed: int
    """All failing futures."""
    passed: int
    """All passing futures."""
    low: float
    high: float
    """Interval of the difference of the two shares."""

    @property
    def effect(self) -> float:
        """The share among failing futures minus that among passing ones."""
        return _share(self.failing, self.failed) - _share(self.passing, self.passed)

    @property
    def strength(self) -> float:
        """How far from 0 the difference is at least; negative when it may be 0."""
        return max(self.low, -self.high)

    def __str__(self) -> str:
        return (
            f"{inert(self.cause, _WIDTH)}: {self.failing}/{self.failed} failing against "
            f"{self.passing}/{self.passed} passing ({self.effect:+.2f}, "
            f"{self.low:+.2f} to {self.high:+.2f})"
        )


class Contrast:
    """Causes by how much more frequent they are in failing than in passing futures, or less.

    Each of ``compared`` intervals has a level so much higher that all of them together hold the
    truth with 95 % (Bonferroni). A future ends with its failure: what would come after it is not
    seen in failing futures, but is in passing ones.
    """

    def __init__(self, rows: list[Compared], compared: int, level: float, about: str) -> None:
        self.rows = rows
        """The strongest first."""
        self.compared = compared
        """How many causes were compared."""
        self.level = level
        """Level of each interval."""
        self.about = about

    @property
    def decisive(self) -> list[Compared]:
        """The causes whose difference is not 0, as far as the intervals tell."""
        return [row for row in self.rows if row.strength > 0]

    @property
    def frame(self) -> pd.DataFrame:
        """One row a cause: cause, failing, failed, passing, passed, effect, low, high."""
        import pandas as pd

        titles = ["cause", "failing", "failed", "passing", "passed", "effect", "low", "high"]
        rows = [[getattr(row, title) for title in titles] for row in self.rows]
        return pd.DataFrame(rows, columns=titles)

    def _foot(self) -> str:
        found = len(self.decisive)
        shown = f"{found} of {self.compared} causes differ" if self.compared else "nothing differs"
        return f"{shown}; intervals hold together with {LEVEL:.0%} ({self.level:.2%} each)"

    def __repr__(self) -> str:
        more = len(self.rows) - _ROWS
        rest = [f"... and {more} more"] if more > 0 else []
        return "\n".join([self.about, *map(str, self.rows[:_ROWS]), *rest, self._foot()])

    def _repr_html_(self) -> str:
        rows = [
            (inert(row.cause, _WIDTH), f"{row.failing}/{row.failed}", f"{row.passing}/{row.passed}",
             f"{row.effect:+.2f}", f"{row.low:+.2f} to {row.high:+.2f}")
            for row in self.rows[:_ROWS]
        ]  # fmt: skip
        titles = ("cause", "failing", "passing", "difference", "interval")
        more = len(self.rows) - _ROWS
        rest = f"... and {more} more; " if more > 0 else ""
        return f"<p>{escape(self.about)}</p>{tables.html(titles, rows)}<p>{rest}{self._foot()}</p>"


def contrast(draws: Iterable[Draw], about: str = "futures", only: str = "*") -> Contrast:
    """Compare the failing draws with the passing ones, cause by cause; see :func:`compare`."""
    counted = (draw for draw in draws if draw.verdict != "censored")
    return compare(((draw.verdict == "failed", draw.causes) for draw in counted), about, only)


def compare(
    futures: Iterable[tuple[bool, Iterable[str]]],
    about: str,
    only: str = "*",
    *,
    many: bool = False,
) -> Contrast:
    """Compare failing futures with passing ones, cause by cause; of each, whether it failed and
    its causes are given, the earliest first. Of causes that differ as much, those come first that
    came first.

    ``only`` is a pattern for the causes to look at: ``"fault *"``. Those that happened in all
    futures, failing and passing, tell nothing and are left out. When there are ``many``, so are
    those too rare (or too common) to differ, whichever futures they happened in: they cannot be
    found by mistake, so the others need no wider intervals because of them.

    R. E. Tarone, A modified Bonferroni method for discrete data, Biometrics 46 (1990) 515-522.
    """
    given: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    total: Counter[bool] = Counter()
    order: dict[tuple[bool, str], int] = {}
    for failed, causes in futures:
        total[failed] += 1
        mine = dict.fromkeys(cause for cause in causes if fnmatchcase(cause, only))
        given[failed].update(mine.keys())
        for cause in mine:
            order.setdefault((failed, cause), len(order))
    names = [
        name
        for name in sorted(given[True] | given[False])
        if given[True][name] + given[False][name] < total.total()
    ]
    if many:
        counts = [given[True][name] + given[False][name] for name in names]
        worth = _worth(counts, total[True], total[False])
        names = [name for name, count in zip(names, counts, strict=True) if count in worth]
    level = _level(len(names))
    rows = []
    for name in names:
        failing, passing = given[True][name], given[False][name]
        low, high = difference(failing, total[True], passing, total[False], level)
        rows.append(
            Compared(name, failing, passing, total[True], total[False], float(low), float(high))
        )

    def place(row: Compared) -> tuple[float, float, bool, int]:
        failing = (True, row.cause) in order
        return -row.strength, -abs(row.effect), not failing, order[failing, row.cause]

    rows.sort(key=place)
    words = f"{about}: {total[True]} failing, {total[False]} passing"
    return Contrast(rows, len(rows), level, words)


def _level(compared: int) -> float:
    return 1 - (1 - LEVEL) / max(compared, 1)


def _worth(counts: list[int], failed: int, passed: int) -> set[int]:
    """In how many futures a cause must have happened for its interval to have a chance not to
    hold 0, when only such causes are compared.
    """
    for compared in range(1, len(counts) + 1):
        level = _level(compared)
        worth = {count for count in set(counts) if _may_differ(count, failed, passed, level)}
        if sum(count in worth for count in counts) <= compared:
            return worth
    return set()


def _may_differ(count: int, failed: int, passed: int, level: float) -> bool:
    """Whether the interval of the difference misses 0 in one of the two most extreme cases."""
    most, least = min(count, failed), max(count - passed, 0)
    low, _ = difference(most, failed, count - most, passed, level)
    _, high = difference(least, failed, count - least, passed, level)
    return bool(low > 0 or high < 0)


def _share(count: int, total: int) -> float:
    return count / total if total else 0.5
