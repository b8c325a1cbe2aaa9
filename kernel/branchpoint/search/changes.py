"""What an exploration found, against an earlier one of the same system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from branchpoint.errors import BranchpointError
from branchpoint.search.exploration import Exploration
from branchpoint.search.findability import LEVEL, findability

Change = Literal["new", "ongoing", "rare", "resolved"]


@dataclass(frozen=True)
class Changed:
    """A kind of failure that one of the two has found."""

    change: Change
    """``rare``: only the earlier one has found it, but this one would miss it easily.
    ``resolved``: this one would hardly miss it if it were still there."""
    failure: str
    kind: str
    before: int
    """In how many stretches of the earlier one it was found."""
    now: int
    missed: float | None = None
    """If only the earlier one has found it: the largest probability, with
    :data:`~branchpoint.search.findability.LEVEL`, that this one misses it if it is still there."""


def changes(found: Exploration, earlier: Exploration) -> list[Changed]:
    """What is new, ongoing, rare or resolved, in this order.

    :raises BranchpointError: when the earlier one is of another system, or has no stretches.
    """
    if earlier.head.title != found.head.title:
        raise BranchpointError(
            f"{earlier.path} explores {earlier.head.title}, {found.path} {found.head.title}",
            "give two explorations of one system",
        )
    if not earlier.tree.virtual:
        raise BranchpointError(f"{earlier.path} has no stretches", "let it go on, or leave it out")
    share = found.tree.virtual / earlier.tree.virtual
    now = {(each.failure, each.kind): len(each.nodes) for each in found.findings}
    before = {(each.failure, each.kind): len(each.nodes) for each in earlier.findings}
    # Under the same name something else may be looked for now.
    looked_for = {name for name, _ in {*found.head.failures} & {*earlier.head.failures}}
    told = [
        Changed("ongoing" if key in before else "new", *key, before.get(key, 0), times)
        for key, times in now.items()
    ]
    for key, times in before.items():
        if key in now:
            continue
        missed = findability(times, share).missed_at_most if key[0] in looked_for else 1.0
        change: Change = "resolved" if missed <= 1 - LEVEL else "rare"
        told.append(Changed(change, *key, times, 0, missed))
    order: list[Change] = ["new", "ongoing", "rare", "resolved"]
    return sorted(told, key=lambda each: order.index(each.change))
