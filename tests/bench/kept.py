"""The last full result of each measure, kept on disk: measures need not be taken all at once, and a
table of them says when each was taken and how busy the computer was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from figures import Figure
from subjects import identity

FILE = "measures.json"
_BUSY = 0.05  # share of the cores' time from which on the work of others is mentioned


@dataclass(frozen=True)
class Taken:
    """One measure."""

    of: str
    """The machine, guest and emulator for which it is valid."""
    date: str
    others: float
    """Share of the cores' time that went to other processes meanwhile."""
    figures: list[Figure]

    @property
    def busy(self) -> bool:
        return self.others > _BUSY


def keep(work: Path, name: str, taken: Taken) -> None:
    """Store the result of measure ``name``, in place of its last result."""
    everything = {**kept(work), name: taken}
    data = json.dumps({key: asdict(each) for key, each in everything.items()}, indent=1)
    (work / FILE).write_text(data)


def kept(work: Path) -> dict[str, Taken]:
    """The results for exactly this machine, by names of measures."""
    try:
        found = json.loads((work / FILE).read_text())
    except FileNotFoundError:
        return {}
    taken = {
        key: Taken(**{**fields, "figures": [Figure(**each) for each in fields["figures"]]})
        for key, fields in found.items()
    }
    return {key: each for key, each in taken.items() if each.of == identity()}


def caption(machine: str, taken: Iterable[tuple[str, Taken]]) -> str:
    """Where and when the measures were taken."""
    taken = list(taken)
    dates = sorted({each.date for _, each in taken})
    text = f"Measured on {machine}"
    if dates:
        text += f", {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
    busy = [f"{name} ({each.others:.0%})" for name, each in taken if each.busy]
    if busy:
        text += ". Others had a share of the cores, so that times are too long, for: "
        text += ", ".join(busy)
    return text + "."
