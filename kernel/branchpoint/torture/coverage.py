"""Which programs ran in a recording of programs that others wrote."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from dataclasses import dataclass

from branchpoint.events.event import LOG
from branchpoint.timeline.recording import Recording
from branchpoint.torture.branches import LOST

_STRESSED = re.compile(r"stress-ng: info: +\[\d+\] (passed|failed): \d+: (.*)")
_STRESSOR = re.compile(r"([a-z][a-z0-9-]*) \(\d+\)")
_PASSED, _FAILED = "passed", "failed"
_WIDTH = 100


@dataclass(frozen=True)
class Coverage:
    """The programs that ran, by what they print themselves."""

    name: str
    """Name of the system."""
    seconds: float
    """Virtual seconds that were recorded."""
    stressors: tuple[str, ...]
    """Those of stress-ng that finished."""
    failed: tuple[str, ...]
    """Those whose own checks failed in the recording."""
    lines: dict[str, int]
    """How many lines each container wrote."""
    lost: tuple[str, ...]
    """Lines in which a probe says that it lost something."""

    @property
    def brief(self) -> str:
        """The names of the programs, and the number of stressors."""
        stressed = f"{len(self.stressors)} stressors of stress-ng, " if self.stressors else ""
        return stressed + ", ".join(name for name in sorted(self.lines) if name != "stress.1")

    def __str__(self) -> str:
        programs = ", ".join(f"{name} ({n} lines)" for name, n in sorted(self.lines.items()))
        text = f"{self.name}: {self.seconds:.0f} virtual s of {programs}"
        if self.stressors:
            text += f"; {len(self.stressors)} stressors of stress-ng: {' '.join(self.stressors)}"
        if self.failed:
            text += f"; failed their own checks: {' '.join(self.failed)}"
        if self.lost:
            text += f"; {len(self.lost)} lines such as {self.lost[0]!r}"
        return "\n".join(textwrap.wrap(text, _WIDTH, subsequent_indent="    "))


def coverage(run: Recording) -> Coverage:
    """What a recording covers."""
    stressors: dict[str, set[str]] = {_PASSED: set(), _FAILED: set()}
    lines: Counter[str] = Counter()
    lost = []
    for event in run.events.where(source="container", type=LOG):
        lines[event.container] += 1
        if found := _STRESSED.match(event.text):
            stressors[found[1]].update(_STRESSOR.findall(found[2]))
        if LOST in event.text:
            lost.append(event.text)
    return Coverage(
        name=run.manifest.title,
        seconds=(run.manifest.end - run.origin) / 1e9,
        stressors=tuple(sorted(stressors[_PASSED])),
        failed=tuple(sorted(stressors[_FAILED])),
        lines=dict(lines),
        lost=tuple(lost),
    )
