"""Futures from one moment, looked at for equal times, so that they can be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple


class Seen(NamedTuple):
    """A future that failed or passed, and what happened in it."""

    failed_at: int | None
    """Absolute ns; None: it passed."""
    causes: Mapping[str, int]
    """What happened before the failure, and the absolute ns at which it first did."""


def ends(failed_at: Sequence[int | None]) -> list[int | None]:
    """Up to which instant each future is looked at, absolute ns, in a stretch of time that is fair
    to compare. Of each is given when it failed; None: it passed. The result has None for passing
    ones when none failed: there is nothing to compare with.

    A failing future is only seen up to its failure. If passing ones were looked at up to their end,
    everything that happens late would seem to prevent the failure (immortal time bias). So the
    instants of the failures are given to the passing futures, each instant to about equally many,
    and a passing future is looked at up to its instant. If more futures fail than pass, some
    instants, evenly spread, are not used.

    Then a cause that has nothing to do with the failure has equal chances on both sides: the
    probability that it has happened by an instant depends on the instant only, and the instants are
    the same. Its chance is not the same in each future, which makes the numbers of both sides vary
    less than if all had the mean chance; so an exact test errs less often than it says. Which
    future gets which instant depends on the order of the futures, which must be that of their
    seeds.
    """
    instants = sorted(at for at in failed_at if at is not None)
    passing = len(failed_at) - len(instants)
    found, number = [], 0
    for at in failed_at:
        if at is None and instants:
            # The middle of its share of them: with its beginning, all would be cut too early.
            at = instants[(2 * number + 1) * len(instants) // (2 * passing)]
            number += 1
        found.append(at)
    return found


def equal_stretches(futures: Sequence[Seen]) -> Iterator[tuple[bool, list[str]]]:
    """Which futures failed, and what happened in them in stretches of time that are fair to
    compare; see :func:`ends`.
    """
    for each, end in zip(futures, ends([each.failed_at for each in futures]), strict=True):
        if each.failed_at is not None:
            yield True, list(each.causes)
        else:
            yield False, [what for what, at in each.causes.items() if end is None or at < end]
