"""What failing futures have that passing ones do not have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING

from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.listing import inert
from branchpoint.futures.draws import Draw
from branchpoint.futures.statistics.exact import LIMIT, Chances, percent, perfect
from branchpoint.futures.statistics.proportion import difference
from branchpoint.futures.stretches import Seen, equal_stretches

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 12  # causes that are shown
_NEAREST = 3  # that are shown where none is found
_WIDTH = 80  # characters of a cause that are shown


@dataclass(frozen=True)
class Counts:
    """In how many failing and in how many passing futures something happened."""

    failing: int
    passing: int
    failed: int
    """All failing futures."""
    passed: int
    """All passing futures."""
    low: float
    high: float
    """95 % interval (Newcombe's) of the difference of the two shares, valid if you look at this
    alone. Of many such intervals some miss the truth, so ``chance`` decides what is found."""
    alone: float
    """The probability that chance makes it look as extreme, if it does not matter (Fisher's exact
    test, two-sided). Valid if you had this in mind before."""
    chance: float
    """At most how probable it is that chance makes anything that was compared look as extreme."""
    group: int
    """What has the same number happened in the same futures, so no contrast tells it apart."""

    @property
    def effect(self) -> float:
        """The share among failing futures minus that among passing ones."""
        return _share(self.failing, self.failed) - _share(self.passing, self.passed)

    @property
    def found(self) -> bool:
        """Whether chance alone does this in fewer than 5 % of all cases."""
        return self.chance < LIMIT

    @property
    def words(self) -> str:
        """The counts, and what they are worth."""
        return (
            f"in {self.failing} of {self.failed} failing, "
            f"{self.passing} of {self.passed} passing futures; by chance: {percent(self.chance)}"
        )


@dataclass(frozen=True)
class Compared(Counts):
    """One cause that was compared."""

    cause: str

    def __str__(self) -> str:
        return self.along(0)

    def along(self, others: int) -> str:
        """In words, with so many ``others`` of its group."""
        return f"{_named(self, others)}: {self.words}"


class Contrast:
    """Causes that failing futures have and passing ones do not have, or the other way round.

    ``chance`` of a cause says how often chance alone makes any of the compared causes look as
    extreme. Causes below 5 % are ``decisive``: if no cause matters, one is found in at most 5 of
    100 contrasts. A cause that is found need not be the true one: it may only come together with
    it.

    All futures are looked at for equal times (:mod:`stretches`), since a failing one ends early.
    """

    def __init__(self, rows: list[Compared], about: str, failed: int, passed: int) -> None:
        self.rows = rows
        """All causes that were compared, the least probable by chance first."""
        self.about = about
        self.failed = failed
        """Futures that failed."""
        self.passed = passed
        """Futures that passed."""

    @property
    def compared(self) -> int:
        """How many causes were compared."""
        return len(self.rows)

    @property
    def decisive(self) -> list[Compared]:
        """The causes that are found: those whose ``chance`` is below 5 %."""
        return [row for row in self.rows if row.found]

    @cached_property
    def too_few(self) -> bool:
        """Whether too few futures failed, or too few passed. Then not even a cause that is in all
        of these and in no other future could be told from chance, among so many causes.
        """
        if self.decisive:
            return False
        counts = [row.failing for row in self.rows], [row.passing for row in self.rows]
        return Chances(*counts, self.failed, self.passed).of_perfect >= LIMIT

    @property
    def enough(self) -> int | None:
        """About how many futures would be enough, if the same share of them fails. None: there are
        enough already, or it is not known, because none failed or none passed.
        """
        few, total = min(self.failed, self.passed), self.failed + self.passed
        if not few or not self.too_few:
            return None
        needed = few + 1
        while perfect(needed, _for(needed, few, total)) * (self.compared + 1) >= LIMIT:
            needed += 1
        return _for(needed + 1, few, total)  # there may be one less than expected, by chance

    @property
    def conclusion(self) -> list[str]:
        """What it shows, in a few lines."""
        found, of = len(self.decisive), _causes(self.compared)
        if self.too_few:
            return self._too_few()
        if not self.rows:
            return ["nothing happened in some of these futures and not in others"]
        if not found:
            return [f"none of {of} differs by more than chance; the nearest:"]
        verb = "differs" if found == 1 else "differ"
        return [f"{found} of {of} {verb} by more than chance does in 5 of 100 contrasts"]

    def _too_few(self) -> list[str]:
        few, total = min(self.failed, self.passed), self.failed + self.passed
        if not total:
            return ["no future failed or passed"]
        fails = self.failed <= self.passed
        kind, verb = ("failures", "failed") if fails else ("passing futures", "passed")
        words = f"too few {kind} to tell: {few or 'none'} of {total} futures {verb}"
        if (enough := self.enough) is not None:
            return [words, f"about {enough} futures would do: run.contrast(..., futures={enough})"]
        often = "more often" if fails else "less often"
        return [words, f"take a moment from which it fails {often}: run.likelihood shows where"]

    @property
    def frame(self) -> pd.DataFrame:
        """One row per cause: cause, failing, failed, passing, passed, effect, low, high, alone,
        chance, group. ``low`` and ``high`` are the 95 % interval of this cause's ``effect`` alone;
        causes with the same ``group`` happened in the same futures.
        """
        import pandas as pd

        titles = [
            "cause", "failing", "failed", "passing", "passed", "effect", "low", "high", "alone",
            "chance", "group",
        ]  # fmt: skip
        rows = [[getattr(row, title) for title in titles] for row in self.rows]
        return pd.DataFrame(rows, columns=titles)

    def _shown(self) -> tuple[list[tuple[Compared, int]], str]:
        """For each group that is shown one row, and how many more the group has; and words about
        the groups that are not shown.
        """
        if self.too_few:
            return [], ""
        groups: dict[int, list[Compared]] = {}
        for row in self.decisive or self.rows:
            groups.setdefault(row.group, []).append(row)
        most = _ROWS if self.decisive else _NEAREST
        shown = [(rows[0], len(rows) - 1) for rows in list(groups.values())[:most]]
        more = sum(map(len, list(groups.values())[most:])) if self.decisive else 0
        return shown, f"... and {_causes(more)} more" if more else ""

    def __repr__(self) -> str:
        shown, more = self._shown()
        rows = [row.along(others) for row, others in shown]
        return "\n".join([self.about, *self.conclusion, *rows, *filter(None, [more])])

    def _repr_html_(self) -> str:
        shown, more = self._shown()
        rows = [
            (_named(row, others), f"{row.failing} of {row.failed}",
             f"{row.passing} of {row.passed}", percent(row.chance))
            for row, others in shown
        ]  # fmt: skip
        lines = "".join(f"<p>{escape(line)}</p>" for line in (self.about, *self.conclusion))
        titles = ("cause", "in failing futures", "in passing ones", "by chance")
        return lines + (tables.html(titles, rows) if rows else "") + (more and f"<p>{more}</p>")


def contrast(draws: Iterable[Draw], about: str = "futures", only: str = "*") -> Contrast:
    """Compare failing draws with passing ones from the same moment, cause by cause, over equal
    stretches of time; see :func:`compare`. The draws may be a selection by their verdicts.

    :raises BranchpointError: when the draws have no instants of what happened in them.
    """
    given = list(draws)
    counted = [draw for draw in given if draw.verdict != "censored"]
    censored = len(given) - len(counted)
    return compare(equal_stretches([_seen(draw) for draw in counted]), about, only, censored)


def _seen(draw: Draw) -> Seen:
    known = len(draw.instants) == len(draw.causes)
    if not known and draw.failed_at is None:
        raise BranchpointError(
            "these futures were kept by an earlier version, without the instants of what happened "
            "in them, so failing and passing ones cannot be compared fairly",
            "draw new ones: run.contrast(moment, failure), or run.likelihood with seed=1",
        )
    # Of one that failed, only what came before is kept, so its instants are not needed.
    instants = draw.instants if known else [draw.at] * len(draw.causes)
    return Seen(draw.failed_at, dict(zip(draw.causes, instants, strict=True)))


def compare(
    futures: Iterable[tuple[bool, Iterable[str]]], about: str, only: str = "*", censored: int = 0
) -> Contrast:
    """Compare failing futures with passing ones, cause by cause. For each future it is given
    whether it failed, and its causes, the earliest first; ``censored`` more futures are not among
    them. Equally extreme causes are sorted by their difference, the largest first, then by time.

    ``only`` is a pattern for the causes to look at: ``"fault *"``. Causes that happened in all
    futures tell nothing and are left out. :mod:`exact` says how it is decided which of the others
    differ.
    """
    given: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    total: Counter[bool] = Counter()
    order: dict[tuple[bool, str], int] = {}
    where: dict[str, int] = {}  # a number that stands for the futures in which it happened
    for number, (failed, causes) in enumerate(futures):
        total[failed] += 1
        mine = dict.fromkeys(
            causes if only == "*" else (cause for cause in causes if fnmatchcase(cause, only))
        )
        given[failed].update(mine.keys())
        for cause in mine:
            order.setdefault((failed, cause), len(order))
            where[cause] = hash((where.get(cause, 0), number))
    names = [
        name
        for name in sorted(given[True] | given[False])
        if given[True][name] + given[False][name] < total.total()
    ]
    failing, passing = [given[True][name] for name in names], [given[False][name] for name in names]
    chances = Chances(failing, passing, total[True], total[False])
    low, high = difference(failing, total[True], passing, total[False])
    numbers = [each.tolist() for each in (low, high, chances.alone, chances.chance)]
    rows = [
        Compared(
            failing=given[True][name],
            passing=given[False][name],
            failed=total[True],
            passed=total[False],
            low=lowest,
            high=highest,
            alone=alone,
            chance=chance,
            group=where[name],
            cause=name,
        )
        for name, lowest, highest, alone, chance in zip(names, *numbers, strict=True)
    ]

    def place(row: Compared) -> tuple[float, float, bool, int]:
        failing = (True, row.cause) in order
        odd = round(math.log(row.alone), 6) if row.alone else -math.inf  # equal but for rounding
        return odd, -abs(row.effect), not failing, order[failing, row.cause]

    rows.sort(key=place)
    groups: dict[int, int] = {}
    rows = [replace(row, group=groups.setdefault(row.group, len(groups))) for row in rows]
    words = f"{about}: {total[True]} failing, {total[False]} passing"
    if censored:
        words += f", {censored} censored and not counted"
    return Contrast(rows, words, total[True], total[False])


def _named(row: Compared, others: int) -> str:
    more = f" (and {others} more in the same futures)" if others else ""
    return inert(row.cause, _WIDTH) + more


def _for(needed: int, few: int, total: int) -> int:
    """In about how many futures ``needed`` fail, if ``few`` of ``total`` did."""
    return -(-needed * total // few)


def _causes(count: int) -> str:
    return f"{count} cause" if count == 1 else f"{count} causes"


def _share(count: int, total: int) -> float:
    return count / total if total else 0.5
