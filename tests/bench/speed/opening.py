"""From nothing to the first output of a shell: a new Python process, a random instant."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

from branchpoint import progress
from figures import Figure, amount, at_most, median, quantile
from scale import Scale
from subjects import SUBJECTS, recorded

_SCRIPT = Path(__file__).with_name("first_output.py")
_BAR = 2.0  # seconds


def opening(scale: Scale, work: Path) -> list[Figure]:
    """The first process is not counted, because it loads files into the page cache."""
    figures = []
    imports: list[float] = []
    for subject in SUBJECTS:
        path = recorded(subject, scale.recording, work)
        chance = random.Random(0)
        totals, opens = [], []
        with progress.task(f"opening {subject.name}", scale.openings + 1, "times") as task:
            for number in range(scale.openings + 1):
                vtime = chance.randrange(round(scale.recording * 1e9)) / 1e9
                started = time.monotonic()
                done = subprocess.run(
                    [sys.executable, _SCRIPT, path, f"{vtime:.9f}", subject.container],
                    stdout=subprocess.PIPE,
                    check=True,
                )
                began, imported, opened, output = json.loads(done.stdout)
                if number:
                    totals.append(output - started)
                    imports.append(imported - began)
                    opens.append(opened - imported)
                task.update(number + 1)
        name = f"{subject.name}: new Python process to first shell output at a random instant"
        note = f"p95 of {len(totals)}; median {amount(median(totals), 's')}"
        figures.append(at_most(name, quantile(totals, 0.95), _BAR, "s", note))
        figures.append(Figure(f"{subject.name}: open alone", amount(median(opens) * 1e3, "ms")))
    figures.append(Figure("`import branchpoint`", amount(median(imports) * 1e3, "ms")))
    return figures
