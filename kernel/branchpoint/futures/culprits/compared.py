"""Compares the code that ran in failing and in passing futures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from math import comb
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.futures.contrast import Compared, Counts, compare
from branchpoint.futures.culprits.culprits import Culprit, Culprits
from branchpoint.futures.culprits.source import Source, Spot, matches
from branchpoint.futures.running.future import CodeRan
from branchpoint.futures.statistics.exact import LIMIT

Which = tuple[int, ...]
"""Of which futures something is true, by number, ascending."""


class Future(NamedTuple):
    """A future, and the code that ran in it up to where it is looked at."""

    failed: bool
    ran: Sequence[CodeRan]
    """In parts of that time, the last one being the last second of it."""


class _Code(NamedTuple):
    """A piece of code that ran; if ``late``, in the last second."""

    spot: Spot
    late: bool


def culprits(
    futures: Sequence[Future],
    source: Source,
    about: str,
    only: str = "*",
    drawn: tuple[int, int] | None = None,
    censored: int = 0,
) -> Culprits:
    """Compare the code of these futures, which are some of those that were ``drawn``: how many of
    these failed, and how many passed (None: there are no others); ``censored`` more could not be
    judged. ``only`` is a pattern for files, or for a file and a function, with a blank in between.

    Two things are compared: whether code ran at all, and whether it ran in the last second. What is
    true of the same futures is one and the same test, so together it counts once among all that is
    compared (see :mod:`~branchpoint.futures.statistics.exact`: it takes as given what happened in
    which futures, and asks how the verdicts may be spread among them).
    """
    together, split, early = _together(futures, source, only)
    groups = list(together.items())
    given = [
        (future.failed, [str(i) for i, (which, _) in enumerate(groups) if number in which])
        for number, future in enumerate(futures)
    ]
    contrast = compare(given, about, censored=censored)
    ran = {compared.cause: groups[int(compared.cause)][0] for compared in contrast.rows}
    own = {which for which, code in groups if any(not each.spot.library for each in code)}
    causes = _causes_first(contrast.rows, ran, futures, own, early)
    drawn = drawn or (contrast.failed, contrast.passed)
    prior = drawn[0] / max(sum(drawn), 1)
    rows = [
        culprit
        for compared in causes
        for culprit in _by_function(compared, groups[int(compared.cause)][1], split, source, prior)
    ]
    rows.sort(key=lambda culprit: (not culprit.found, culprit.library))
    untold = sum(any(part.untold for part in future.ran) for future in futures)
    found = Culprits(rows, contrast, drawn, untold, source.lines)
    found.unknown = source.unknown(np.unique(_all_places(futures)).tolist())
    return found


def _together(
    futures: Sequence[Future], source: Source, only: str
) -> tuple[Mapping[Which, list[_Code]], set[Spot], set[Which]]:
    """What is true of some of the futures only, by these; code as it ran first in one of them. And
    the lines of which other parts ran in other futures, or in all; and where code ran earlier than
    in the last second, in half of those of its futures that failed, or more.
    """
    # Failing futures first, as the order in these is that which leads to the failure.
    first = sorted(futures, key=lambda future: not future.failed)
    number = {line: i for i, line in enumerate(_lines(first))}
    places = np.unique(_all_places(futures))
    tables = []
    for late in (False, True):
        parts = [Future(each.failed, each.ran[-1:] if late else each.ran) for each in futures]
        lines = _in_some([[number[line] for line in _lines([each])] for each in parts], number)
        ran = _in_some([np.searchsorted(places, _places(each)) for each in parts], places.tolist())
        tables.append((late, lines, ran))
    differ = {place for _, _, ran in tables for place in ran}
    at = source.of_places(differ, beside=places.tolist())
    found: dict[Which, dict[_Code, None]] = {}
    for late, lines, ran in tables:
        spots: dict[Any, Spot] = {**source.of_lines(lines), **at}
        for what, which in (*lines.items(), *ran.items()):
            if what in spots and matches(spots[what], only):
                together = found.setdefault(which, {})
                if _Code(spots[what], late=False) not in together:
                    together[_Code(spots[what], late)] = None
    _, lines, ran = tables[0]
    before = Counter(
        what
        for each in futures
        if each.failed
        for part in [Future(each.failed, each.ran[:-1])]
        for what in (*_lines([part]), *differ.intersection(_places(part).tolist()))
    )
    early = {
        which
        for what, which in (*lines.items(), *ran.items())
        if 2 * before[what] >= sum(futures[i].failed for i in which) > 0
    }
    return {which: list(each) for which, each in found.items()}, _split(at, ran), early


def _causes_first(
    rows: Sequence[Compared],
    ran: Mapping[str, Which],
    futures: Sequence[Future],
    own: Container[Which],
    early: Container[Which],
) -> list[Compared]:
    """The same rows. Of those with the system's ``own`` code that these futures cannot tell from
    the best one, as they say about as well which futures fail, those that ran ``early`` come first:
    a cause comes before what follows from it, and the latter always goes with the failure.
    """
    failed = np.array([future.failed for future in futures])

    def mistaken(row: Compared) -> NDArray[np.bool_]:
        there = np.zeros(len(futures), bool)
        there[list(ran[row.cause])] = True
        wrong: NDArray[np.bool_] = there != (failed if row.effect >= 0 else ~failed)
        return wrong

    best = next((mistaken(row) for row in rows if ran[row.cause] in own), None)

    def place(row: Compared) -> int:
        mine = row.found and ran[row.cause] in own
        if not mine or best is None or not _alike(mistaken(row), best):
            return 2
        return 0 if ran[row.cause] in early else 1

    return sorted(rows, key=place)


def _alike(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> bool:
    """Whether chance may be all that is between two things that were each true of some of the same
    futures: an exact test, two-sided, at 5 %: Q. McNemar, Note on the sampling error of the
    difference between correlated proportions or percentages, Psychometrika 12 (1947) 153-157.
    """
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    apart = only_one + only_other
    as_far = sum(comb(apart, k) for k in range(min(only_one, only_other) + 1)) / 2**apart
    return min(2 * as_far, 1) >= LIMIT


def _split(at: Mapping[int, Spot], ran: Mapping[int, Which]) -> set[Spot]:
    """The lines of which not all parts ran in the same futures; what ``ran`` lacks ran in all."""
    patterns: dict[Spot, set[Which]] = defaultdict(set)
    for place, spot in at.items():
        patterns[spot].add(ran.get(place, ()))
    return {spot for spot, those in patterns.items() if len(those) > 1}


def _lines(futures: Iterable[Future]) -> dict[Any, None]:
    """The lines that ran, each once, in this order."""
    return dict.fromkeys(line for each in futures for part in each.ran for line in part.lines)


def _all_places(futures: Iterable[Future]) -> NDArray[np.uint64]:
    """The places that ran in any of them, some several times."""
    return np.concatenate([np.empty(0, np.uint64), *map(_places, futures)])


def _places(future: Future) -> NDArray[np.uint64]:
    """The places that ran."""
    return np.frombuffer(b"".join(part.places for part in future.ran), np.uint64)


def _in_some(ran: Sequence[Any], things: Iterable[Any]) -> dict[Any, Which]:
    """In which futures each thing ran, if in some and not in all. Of each future is given what ran
    in it, by number.
    """
    named = list(things)
    table: NDArray[np.bool_] = np.zeros((len(ran), len(named)), bool)
    for row, each in zip(table, ran, strict=True):
        row[each] = True
    chosen = np.flatnonzero(table.any(axis=0) & ~table.all(axis=0)).tolist()
    return {named[i]: tuple(np.flatnonzero(table[:, i]).tolist()) for i in chosen}


def _by_function(
    compared: Compared, code: list[_Code], split: set[Spot], source: Source, prior: float
) -> list[Culprit]:
    """Code of which the same is true, by function: libraries after the system's own code, what runs
    when a module is imported after other code, functions of which only parts of lines that are
    ``split`` differ (the way that a condition took) after those with a whole line, else as it ran.
    """

    def function(each: _Code) -> tuple[str, str, bool]:
        return each.spot.file, each.spot.function, each.late

    order: dict[tuple[str, str, bool], int] = {}
    whole = set()
    for each in code:
        order.setdefault(function(each), len(order))
        if each.spot not in split:
            whole.add(function(each))

    def place(each: _Code) -> tuple[bool, bool, bool, int, int]:
        spot, mine = each.spot, function(each)
        where = spot.offset if spot.line is None else spot.line
        return spot.library, spot.body, mine not in whole, order[mine], where

    functions = [list(mine) for _, mine in groupby(sorted(code, key=place), function)]
    counts = {field.name: getattr(compared, field.name) for field in fields(Counts)}
    return [
        Culprit(
            **counts,
            spots=tuple(each.spot for each in mine),
            late=mine[0].late,
            text=source.text(mine[0].spot),
            prior=prior,
        )
        for mine in functions
    ]
