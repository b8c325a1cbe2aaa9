"""Python programs: where interpreters are, and which line an instruction of byte code belongs to.

Offsets and opcodes are those of CPython's own headers (Include/cpython/code.h, unicodeobject.h,
Include/opcode.h), for its usual build on 64 bits; the table of lines is described in its
Objects/locations.md.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from branchpoint.machine.watching.bytecode import Function, Instruction, Interpreter, Jump
from branchpoint.programs.elf import Program
from branchpoint.programs.images import Images

_NAME = re.compile(r"(?:.*/)?(?:lib)?python3\.(\d+)(?:\.so[.\d]*)?")
_LOOP = "_PyEval_EvalFrameDefault"


class _Layout(NamedTuple):
    """Offsets in code objects and strings; and the opcodes of opposite jumps, in pairs."""

    file: int
    function: int
    table: int
    line: int
    code: int
    text: int
    opposites: tuple[tuple[int, int], ...]


_LAYOUTS = {
    11: _Layout(
        file=112, function=128, table=136, line=72, code=184, text=48,
        opposites=((114, 115), (128, 129), (173, 174), (175, 176)),
    ),
    12: _Layout(
        file=112, function=128, table=136, line=68, code=192, text=40,
        opposites=((114, 115), (128, 129)),
    ),
    13: _Layout(
        file=112, function=128, table=136, line=68, code=200, text=40,
        opposites=((97, 100), (98, 99)),
    ),
}  # fmt: skip
"""By the second number of the version."""
_UNIT = 2  # bytes of an instruction
_NO_LINE, _LONG, _NO_COLUMN, _ONE_LINE = 15, 14, 13, 10


class Line(NamedTuple):
    """A line of a Python program."""

    file: str
    function: str
    """Its qualified name."""
    line: int
    body: bool = False
    """Whether it runs once, when a module is imported."""


class Decision(NamedTuple):
    """Where a Python program goes one way or the other: an ``if``, a ``while``, an ``and``."""

    jump: Jump
    line: int

    @property
    def file(self) -> str:
        """Of the source, in the container."""
        return self.jump.file

    @property
    def function(self) -> str:
        """Its qualified name."""
        return self.jump.function


@cache
def interpreters(module: Path) -> tuple[Interpreter, ...]:
    """The Pythons in a system's memory module whose byte code can be told: 3.11 to 3.13.

    :raises ImageError: when the module cannot be read.
    """
    images = Images(module)
    found = {}
    for file in images.files:
        match = _NAME.fullmatch(file.path)
        layout = _LAYOUTS.get(int(match[1])) if match else None
        if layout is None:
            continue
        try:
            program = Program(images.read(file))
        except ValueError:
            continue
        loop = program.function(_LOOP)
        offset = None if loop is None else program.offset(loop.start)
        if loop is not None and offset is not None:
            first = file.extent.start + offset
            found[first] = Interpreter(first, first + loop.end - loop.start, *layout)
    return tuple(found.values())


def lines(instructions: Iterable[Instruction]) -> list[Line]:
    """The lines that these instructions belong to, each once, in this order."""
    found: dict[Line, None] = {}
    for function, offset, _ in instructions:
        number = line_of(function, offset)
        if number:  # where a module begins there is an instruction of line 0
            found.setdefault(Line(function.file, function.name, number, function.body))
    return list(found)


def decisions(instructions: Iterable[Instruction]) -> list[Decision]:
    """Those of these instructions that are conditional jumps, each once, in this order."""
    found: dict[Decision, None] = {}
    for function, offset, opcode in instructions:
        number = line_of(function, offset) if opcode else None
        if number:
            jump = Jump(function.file, function.name, function.line, offset, opcode)
            found.setdefault(Decision(jump, number))
    return list(found)


def line_of(function: Function, offset: int) -> int | None:
    """The line of the instruction ``offset`` bytes after the beginning of a function's code; None
    when it belongs to none.
    """
    ends, numbers = _table(function.table, function.line)
    at = bisect_right(ends, offset)
    return numbers[at] if at < len(numbers) else None


@lru_cache(maxsize=1 << 16)
def _table(table: bytes, line: int) -> tuple[list[int], list[int | None]]:
    """Where each run of instructions of one line ends, in bytes, and which line that is."""
    ends: list[int] = []
    numbers: list[int | None] = []
    for length, delta, known in _entries(table):
        line += delta
        ends.append((ends[-1] if ends else 0) + length * _UNIT)
        numbers.append(line if known else None)
    return ends, numbers


def _entries(table: bytes) -> Iterator[tuple[int, int, bool]]:
    """Of each entry: for how many instructions, how many lines further, and whether of a line."""
    at = 0
    while at < len(table):
        kind, length = table[at] >> 3 & 15, (table[at] & 7) + 1
        delta = 0
        if kind in (_LONG, _NO_COLUMN):
            delta = _signed(table, at + 1)
        elif _ONE_LINE <= kind < _NO_COLUMN:
            delta = kind - _ONE_LINE
        yield length, delta, kind != _NO_LINE
        at += 1
        while at < len(table) and not table[at] & 0x80:  # only an entry's first byte has this bit
            at += 1


def _signed(table: bytes, at: int) -> int:
    value = shift = 0
    while at < len(table):
        value |= (table[at] & 63) << shift
        if not table[at] & 64:
            break
        shift, at = shift + 6, at + 1
    return -(value >> 1) if value & 1 else value >> 1
