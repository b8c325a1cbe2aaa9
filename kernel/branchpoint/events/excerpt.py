"""Output as a notebook shows it: repeated lines as one, and of what is long, its head and its tail.

All of it stays with the process that wrote it; this is only what is printed.
"""

from __future__ import annotations

import re
from itertools import groupby

LINES = 120
"""Lines of a text that are shown."""
CHARACTERS = 20_000
"""Characters that are shown, about."""
_TAIL = 3  # one line in so many is of the end
_WIDE = 4000  # characters of one line, where not all of the text is shown
_REPEATS = 3  # the same lines that are shown as one
_OFFSET = re.compile(r"^\s*(?:0x)?[0-9a-f]{4,16}:?\s+(?=(?:[0-9a-f]{2,8}\s+){4})")  # of a dump


def excerpt(text: str, where: str = "the process's .output") -> str:
    """``text`` with at most LINES lines and about CHARACTERS characters: the same line again and
    again is there once, followed by how often, and lines from the middle are left out, with a word
    on ``where`` they are. Lines of a dump are the same when they differ in their offset only.
    """
    end = "\n" if text.endswith("\n") else ""
    lines = _folded(text.removesuffix("\n").split("\n"))
    if len(lines) <= LINES and sum(map(len, lines)) <= CHARACTERS:
        return "\n".join(lines) + end
    lines = [line if len(line) <= _WIDE else f"{line[:_WIDE]}…" for line in lines]
    tail = _fitting(lines[::-1], LINES // _TAIL, CHARACTERS // _TAIL)
    head = _fitting(lines[: len(lines) - tail], LINES - tail, CHARACTERS - CHARACTERS // _TAIL)
    left = len(lines) - head - tail
    more = [f"… {left} more line{'' if left == 1 else 's'}, in {where} …"] if left else []
    return "\n".join([*lines[:head], *more, *lines[len(lines) - tail :]]) + end


def _folded(lines: list[str]) -> list[str]:
    """The lines, those that are said several times in a row once, and how often."""
    found: list[str] = []
    for _, group in groupby(lines, lambda line: _OFFSET.sub("", line, count=1)):
        same = list(group)
        found += same if len(same) < _REPEATS else [f"{same[0]}  × {len(same)}"]
    return found


def _fitting(lines: list[str], most: int, characters: int) -> int:
    """How many of the first lines are shown; one at least."""
    count = 0
    for line in lines[:most]:
        characters -= len(line) + 1
        if characters < 0 and count:
            break
        count += 1
    return count
