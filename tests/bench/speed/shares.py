"""What the wall time of futures is spent on, as a line of the table."""

from __future__ import annotations

from branchpoint.futures.running.future import Shares
from figures import Figure, amount

_RUN_BAR = 0.9  # share of wall time


def shares(name: str, before: Shares, after: Shares) -> Figure:
    """The shares of the time spent between ``before`` and ``after``."""
    rewind, run, rest = (
        getattr(after, part) - getattr(before, part) for part in ("rewind", "run", "rest")
    )
    total = rewind + run + rest
    told = f"{amount(run / total, '%')} (rewind {amount(rewind / total, '%')}, "
    told += f"bookkeeping {amount(rest / total, '%')})"
    return Figure(
        f"{name}: QEMU executes guest code", told, f"≥ {amount(_RUN_BAR, '%')}",
        run / total >= _RUN_BAR,
    )  # fmt: skip
