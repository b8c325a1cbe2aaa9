"""Programs that others wrote, tried on this computer: recorded, branched and soaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import branchpoint as bp
from branchpoint.machine.computer import Cures
from branchpoint.soak import Report, soak, subject_between, windows
from branchpoint.torture.branches import Branches, branch_often
from branchpoint.torture.coverage import Coverage, coverage
from branchpoint.torture.systems import PROBES, project

_PROBED = 3  # virtual s of the probes
_LENGTH = 10  # virtual s of each of the other systems
_BRANCHES = 6  # off each probe
_WINDOW = 5  # virtual s of a soak's part of a recording, at least


@dataclass(frozen=True)
class Foreign:
    """What the test with these programs found."""

    branches: Branches
    """Off the probes."""
    control: Branches
    """The same, on machines whose states lack the exception flags: it must differ."""
    covered: list[Coverage]
    soaks: list[Report]

    @property
    def healthy(self) -> bool:
        """Whether every branch and replay was as recorded."""
        sound = all(report.replays and not report.divergences for report in self.soaks)
        return sound and self.branches.identical

    def __str__(self) -> str:
        parts = [self.branches, f"control, {self.control}", *self.covered, *self.soaks]
        return "\n".join(map(str, parts))


def try_foreign(folder: Path, seconds: float, names: Sequence[str]) -> Foreign:
    """Record the probes and these systems in ``folder``, branch and soak them.

    Soaking takes about ``seconds`` of wall time. The systems do not depend on a seed, so a problem
    that was found once is found again.
    """
    with bp.record(project(folder / "project", PROBES), folder / PROBES, duration=_PROBED) as run:
        branches = branch_often(run, _BRANCHES)
        control = branch_often(
            run, _BRANCHES, cures=Cures(flags=False), name="flags cure off", until_parted=True
        )
        covered = [coverage(run)]
    soaks = []
    for name in names:
        file = project(folder / "project", name)
        with bp.record(file, folder / name, duration=_LENGTH) as run:
            covered.append(coverage(run))
            found = windows(run, _WINDOW)
            limit = seconds / len(names) / len(found)
            soaks += [soak(subject_between(run, *each), seconds=limit) for each in found]
    return Foreign(branches, control, covered, soaks)
