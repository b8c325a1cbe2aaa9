"""Futures off one moment, each looked at for as long as the others, before they are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Seen(NamedTuple):
    """A future that failed or passed, and what happened in it."""

    failed_at: int | None
    """Absolute ns; None: it passed."""
    causes: Mapping[str, int]
    """What happened before the failure, and the absolute ns of the first time."""


def equal_stretches(futures: Sequence[Seen]) -> Iterator[tuple[bool, list[str]]]:
    """Which futures failed, and what happened in them in a stretch of time that is fair to compare.

    A failing future is only seen up to its failure. If passing ones were looked at up to their
    end, whatever happens late would seem to prevent the failure (immortal time). So the instants
    of the failures are dealt out to the passing ones, each to as many of them as can be, and these
    are looked at up to there. With more failing than passing ones, evenly many are left out.

    Then a cause that has nothing to do with the failure has equal chances on both sides: how
    probably it has happened by an instant depends on that instant only, and these are the same. In
    one future its chance differs from that in another, which makes the numbers of both sides vary
    less than if all had the mean chance; so an exact test errs less often than it says. Whoever
    gets which instant depends on the order of the futures, which must be that of their seeds.
    """
    ends = sorted(each.failed_at for each in futures if each.failed_at is not None)
    passing = len(futures) - len(ends)
    number = 0
    for each in futures:
        if each.failed_at is not None:
            yield True, list(each.causes)
            continue
        # The middle of its share of the ends: from its beginning, all would be cut too early.
        end = ends[(2 * number + 1) * len(ends) // (2 * passing)] if ends else None
        number += 1
        yield False, [what for what, at in each.causes.items() if end is None or at < end]
