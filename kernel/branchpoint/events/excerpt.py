"""Output as a notebook prints it: repeated lines as one; of long output, only beginning and end.

This is only for printing; the process object keeps all of its output.
"""

from __future__ import annotations

import re
from itertools import groupby

LINES = 120
"""Lines of a text that are shown at most."""
CHARACTERS = 20_000
"""Characters that are shown at most, about."""
_TAIL = 3  # one in so many lines is from the end
_WIDE = 4000  # characters of one line, when the text is shortened
_REPEATS = 3  # so many equal lines in a row are shown as one
_OFFSET = re.compile(r"^\s*(?:0x)?[0-9a-f]{4,16}:?\s+(?=(?:[0-9a-f]{2,8}\s+){4})")  # in a dump


def excerpt(text: str, where: str = "the process's .output") -> str:
    """``text`` with at most LINES lines and about CHARACTERS characters.

    Equal lines in a row are shown once, with their number. Lines in the middle are left out; a note
    says ``where`` they are. Lines of a dump count as equal when only their offsets differ.
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
    """The lines; equal ones in a row only once, with their number."""
    found: list[str] = []
    for _, group in groupby(lines, lambda line: _OFFSET.sub("", line, count=1)):
        same = list(group)
        found += same if len(same) < _REPEATS else [f"{same[0]}  × {len(same)}"]
    return found


def _fitting(lines: list[str], most: int, characters: int) -> int:
    """How many of the first lines are shown; at least one."""
    count = 0
    for line in lines[:most]:
        characters -= len(line) + 1
        if characters < 0 and count:
            break
        count += 1
    return count
