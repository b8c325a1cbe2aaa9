"""What a recording needs on disk."""

from __future__ import annotations

from pathlib import Path

import branchpoint as bp
from figures import Figure, amount, at_most
from scale import Scale
from subjects import SUBJECTS, recorded

_RATE_BAR, _REST_BAR = 1.0, 1.0  # MB (10**6 bytes) per virtual second, MB


def storing(scale: Scale, work: Path) -> list[Figure]:
    """The checkpoints of set-up are counted, its time is not."""
    figures = []
    for subject in SUBJECTS:
        with bp.open(recorded(subject, scale.recording, work)) as run:
            rest = run.files.size_without_pages
            pages = run.files.size - rest
            count = len(run.files.checkpoints)
            rate = pages / run.duration / 1e6
            name = f"{subject.name}: checkpoints on disk, per virtual second of {run.duration:g}"
            note = f"{count} checkpoints, {amount(pages / 1e6, 'MB')}, those of set-up included"
            figures.append(at_most(name, rate, _RATE_BAR, "MB", note))
            name = f"{subject.name}: recording of {run.duration:g} virtual s without memory pages"
            figures.append(at_most(name, rest / 1e6, _REST_BAR, "MB"))
    return figures
