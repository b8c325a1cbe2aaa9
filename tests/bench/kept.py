"""Results that last: measures and counts of soaks are in files of this repository.

They take many hours together, so they are not all taken at once, nor on one computer. Each says
for which machine, guest and emulator it is valid, and is forgotten when these change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import table
from branchpoint import files
from figures import Figure
from subjects import identity, sources

_RESULTS = Path(__file__).with_name("results")
_MEASURES = "measures"
_SIMULATED = "simulated"
DRAWING = ("futures/allocation.py", "futures/draws.py", "futures/statistics")
"""The code that decides which futures a curve draws, and what it says of them."""
_BUSY = 0.05  # share of the cores' time from which on the work of others is mentioned


@dataclass(frozen=True)
class Taken:
    """The last full result of one measure."""

    of: str
    """The code and emulator for which it is valid."""
    computer: str
    date: str
    others: float
    """Share of the cores' time that went to other processes meanwhile."""
    figures: list[Figure]

    @property
    def busy(self) -> bool:
        return self.others > _BUSY


def taken(name: str, others: float, figures: list[Figure]) -> Taken:
    """The result of measure ``name``, taken now on this computer."""
    return Taken(valid_for(name), table.machine(), table.today(), others, figures)


def keep(name: str, result: Taken) -> None:
    """Store the result of measure ``name``, in place of its last result."""
    write(_MEASURES, {key: asdict(each) for key, each in {**kept(), name: result}.items()})


def kept() -> dict[str, Taken]:
    """The results that are valid, by names of measures."""
    found = {
        key: Taken(**{**fields, "figures": [Figure(**each) for each in fields["figures"]]})
        for key, fields in read(_MEASURES).items()
    }
    return {key: each for key, each in found.items() if each.of == valid_for(key)}


def valid_for(name: str) -> str:
    """What decides the results of a measure; simulated curves do not depend on the machine."""
    return sources(*DRAWING) if name == _SIMULATED else identity()


def part(
    file: str, name: str, of: str, take: Callable[[], dict[str, Any]], wanted: bool
) -> dict[str, Any]:
    """One part of a measure that takes hours: what a file has, if that is valid, else as taken now.

    What is not ``wanted`` there (a quick measure) is taken without the file.
    """
    if not wanted:
        return take()
    if not has(file, name, of):
        found = take()
        write(file, {**read(file), name: {"of": of, "found": found}})
    part: dict[str, Any] = read(file)[name]["found"]
    return part


def has(file: str, name: str, of: str) -> bool:
    """Whether a file has that part of a measure, and it is valid."""
    return read(file).get(name, {}).get("of") == of


def read(name: str) -> dict[str, dict[str, Any]]:
    """The results in a file; none when it does not exist."""
    try:
        found: dict[str, dict[str, Any]] = json.loads((_RESULTS / f"{name}.json").read_text())
    except FileNotFoundError:
        return {}
    return found


def write(name: str, results: dict[str, dict[str, Any]]) -> None:
    """Put results into a file, in place of all that are there."""
    with files.publish(_RESULTS / f"{name}.json") as path:
        path.write_text(json.dumps(results, indent=1) + "\n")


def caption(results: Iterable[tuple[str, Taken]]) -> str:
    """Where and when the measures were taken."""
    told = list(results)
    computers = dict.fromkeys(each.computer for _, each in told) or [table.machine()]
    text = f"Measured on {'; '.join(computers)}"
    dates = sorted({each.date for _, each in told})
    if dates:
        text += f", {' to '.join(dict.fromkeys((dates[0], dates[-1])))}"
    busy = [f"{name} ({each.others:.0%})" for name, each in told if each.busy]
    if busy:
        text += ". Others had a share of the cores, so that times are too long, for: "
        text += ", ".join(busy)
    return text + "."
