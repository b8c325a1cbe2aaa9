"""Compares the code that ran in failing and in passing futures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from branchpoint.futures.contrast import Compared, Counts, compare
from branchpoint.futures.culprits.culprits import Culprit, Culprits
from branchpoint.futures.culprits.source import Source, Spot, matches
from branchpoint.futures.running.future import CodeRan

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
    together, split = _together(futures, source, only)
    groups = list(together.items())
    given = [
        (future.failed, [str(i) for i, (which, _) in enumerate(groups) if number in which])
        for number, future in enumerate(futures)
    ]
    contrast = compare(given, about, censored=censored)
    drawn = drawn or (contrast.failed, contrast.passed)
    prior = drawn[0] / max(sum(drawn), 1)
    rows = [
        culprit
        for compared in contrast.rows
        for culprit in _by_function(compared, groups[int(compared.cause)][1], split, source, prior)
    ]
    untold = sum(any(part.untold for part in future.ran) for future in futures)
    return Culprits(rows, contrast, drawn, untold, source.lines)


def _together(
    futures: Sequence[Future], source: Source, only: str
) -> tuple[Mapping[Which, list[_Code]], set[Spot]]:
    """What is true of some of the futures only, by these; code as it ran first in one of them. And
    the lines of which other parts ran in other futures, or in all.
    """
    # Failing futures first, as the order in these is that which leads to the failure.
    first = sorted(futures, key=lambda future: not future.failed)
    number = {line: i for i, line in enumerate(_lines(first))}
    places = np.unique(np.concatenate([np.empty(0, np.uint64), *map(_places, futures)]))
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
    return {which: list(each) for which, each in found.items()}, _split(at, tables[0][2])


def _split(at: Mapping[int, Spot], ran: Mapping[int, Which]) -> set[Spot]:
    """The lines of which not all parts ran in the same futures; what ``ran`` lacks ran in all."""
    patterns: dict[Spot, set[Which]] = defaultdict(set)
    for place, spot in at.items():
        patterns[spot].add(ran.get(place, ()))
    return {spot for spot, those in patterns.items() if len(those) > 1}


def _lines(futures: Iterable[Future]) -> dict[Any, None]:
    """The lines that ran, each once, in this order."""
    return dict.fromkeys(line for each in futures for part in each.ran for line in part.lines)


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
