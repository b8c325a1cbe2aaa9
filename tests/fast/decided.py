"""Decisions that were turned, as results are made of them; without a machine."""

from __future__ import annotations

from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.decisions import Decided
from branchpoint.futures.culprits.source import Spot
from branchpoint.machine.watching.bytecode import Jump
from branchpoint.programs.python import Decision

ALL, NONE = Rate(8, 8), Rate(0, 8)


def decided(line: int, after: Rate = NONE, **changes: object) -> Decided:
    given: dict[str, object] = {
        "decision": Decision(Jump("/srv/a.py", "f", 1, 2 * line, 97), line),
        "spot": Spot("/srv/a.py", "f", line, 0, ("a.1",)),
        "text": f"if x{line}:",
        "condition": (1, 1),
        "before": ALL,
        "after": after,
        "censored": 0,
        "chance": 0.001 if not after.failed and after.trials == 8 else 1.0,
        "instead": (),
        "lost": 10,
        "new": 0,
    }
    return Decided(**(given | changes))  # type: ignore[arg-type]
