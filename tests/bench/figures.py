"""The results of a measure: figures, each with the bar it is compared with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    """What was measured, and under which conditions."""
    measured: str
    bar: str = ""
    """What was required; empty for figures without a bar."""
    met: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def at_most(name: str, value: float, bar: float, unit: str, note: str = "") -> Figure:
    """A figure that must not exceed ``bar``."""
    measured = f"{amount(value, unit)}{f' ({note})' if note else ''}"
    return Figure(name, measured, f"≤ {amount(bar, unit)}", value <= bar)


def amount(value: float, unit: str) -> str:
    """``value`` with three digits; a share is given in per cent."""
    if unit == "%":
        return f"{value * 100:.3g} %"
    digits = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(digits, 3)}f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} {unit}"


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
