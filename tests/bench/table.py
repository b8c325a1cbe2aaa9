"""The figures as a table: for the terminal and for the page of figures."""

from __future__ import annotations

import datetime
import os
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from branchpoint.machine import engine
from figures import Figure

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"
_NUMBERS = {1: "one core", 2: "two cores", 4: "four cores", 8: "eight cores"}
_HEADS = ("what", "bar", "measured", "met")
_WIDTHS = (44, 18, 46)  # characters, in the terminal
_MET = {True: "yes", False: "**no**", None: ""}


def machine() -> str:
    """This computer in one line: cores, processor, QEMU."""
    cores = len(os.sched_getaffinity(0))
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model[1].strip() if model else os.uname().machine
    count = _NUMBERS.get(cores, f"{cores} cores")
    return f"{count}, {name}, QEMU {engine.find().version}"


def today() -> str:
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def plain(figures: Sequence[Figure], caption: str) -> str:
    """The table for the terminal."""
    rows = [_HEADS, *(_row(figure) for figure in figures)]
    lines = [caption, ""]
    for number, row in enumerate(rows):
        cells = [
            textwrap.wrap(cell.replace("**", "").replace("`", ""), width) or [""]
            for cell, width in zip(row, (*_WIDTHS, 4), strict=True)
        ]
        for i in range(max(map(len, cells))):
            parts = [
                (cell[i] if i < len(cell) else "").ljust(width)
                for cell, width in zip(cells, (*_WIDTHS, 4), strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
        if number == 0:
            lines.append("  ".join("-" * width for width in (*_WIDTHS, 4)))
    return "\n".join(lines)


def markdown(figures: Sequence[Figure], caption: str) -> str:
    """The table in Markdown."""
    lines = [caption, "", f"| {' | '.join(_HEADS)} |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_row(figure))} |" for figure in figures]
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, str, str, str]:
    return figure.name, figure.bar, figure.measured, _MET[figure.met]


def put(text: str, readme: Path) -> None:
    """Replace the text between the two marks in ``readme``."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{readme} has no {BEGIN} … {END} to put the figures between")
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
