"""Which code of Python programs ran, told by a plugin of its own (``bytecode.c``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from branchpoint.errors import MachineError
from branchpoint.machine.watching.watcher import HERE, Watcher

_REPLY = struct.Struct("<IIII")
_OBJECT = struct.Struct("<IIIIII")
_MOST_UNITS = 1 << 18
_MOST_OBJECTS = 1 << 16
_MOST_BYTES = 1 << 28
_ENCODINGS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}
"""Of strings in Python's memory, by the bytes of a character."""


class Interpreter(NamedTuple):
    """Where in the memory module a Python is, and how its objects look."""

    first: int
    last: int
    """From where to where its loop is, bytes from the beginning of the module."""
    file: int
    function: int
    table: int
    line: int
    code: int
    """Offsets in a code object: of its names, its table of lines, its first line, its code."""
    text: int
    """Offset of the characters in a string."""


class Function(NamedTuple):
    """The code of a Python function, class body or module, as the interpreter has it."""

    file: str
    """Of its source."""
    name: str
    """Qualified."""
    line: int
    """The first one."""
    table: bytes
    """Which instruction belongs to which line."""
    body: bool = False
    """Whether it is no function, but what a module or a class runs once when it is imported."""


class Instruction(NamedTuple):
    """An instruction of byte code."""

    function: Function
    offset: int
    """Bytes from the beginning of the function's code."""


class Bytecode(Watcher[tuple[list[Instruction], bool]]):
    """What the plugin of one emulator tells."""

    source = HERE / "bytecode.c"

    def __init__(self, interpreters: Sequence[Interpreter]) -> None:
        super().__init__()
        self._interpreters = interpreters
        self._functions: list[Function] = []

    def options(self) -> list[str]:
        """Where the interpreters are."""
        return [f"python={':'.join(map(str, each))}" for each in self._interpreters]

    def begin(self) -> None:
        """Forget what memory holds, too: a state that was restored has other things there."""
        self.ask(b"f")

    def take(self) -> tuple[list[Instruction], bool]:
        """The instructions that ran, in the order in which each ran first, and whether some are
        left out, because there were too many.
        """
        self.ask(b"?")
        units, objects, length, left_out = _REPLY.unpack(self.receive(_REPLY.size))
        known = len(self._functions) + objects
        if units > _MOST_UNITS or known > _MOST_OBJECTS or length > _MOST_BYTES:
            raise MachineError("the emulator tells of more byte code than it may")
        told = np.frombuffer(self.receive(8 * units), np.uint32).reshape(-1, 2)
        for _ in range(objects):
            self._functions.append(self._function())
        return [Instruction(self._functions[i], at) for i, at in told.tolist()], left_out > 0

    def _function(self) -> Function:
        line, file, name, table, kinds, flags = _OBJECT.unpack(self.receive(_OBJECT.size))
        if file + name + table > _MOST_BYTES:
            raise MachineError("the emulator tells of more byte code than it may")
        return Function(
            _text(self.receive(file), kinds & 0xFF),
            _text(self.receive(name), kinds >> 8),
            line,
            self.receive(table),
            body=not flags,
        )


def _text(data: bytes, kind: int) -> str:
    return data.decode(_ENCODINGS[kind], "replace")
