"""Which code of Python programs ran, told by a plugin of its own (``bytecode.c``)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from branchpoint.errors import MachineError
from branchpoint.machine.watching.watcher import HERE, Watcher

_REPLY = struct.Struct("<IIIIQ")
_COUNT = struct.Struct("<Q")
_OBJECT = struct.Struct("<IIIIII")
_JUMP = struct.Struct("<IIIIII")
_MOST_UNITS = 1 << 18
_MOST_OBJECTS = 1 << 16
_MOST_BYTES = 1 << 28
MOST_TURNED = 64
"""Jumps that can be turned at the same time."""
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
    opposites: tuple[tuple[int, int], ...]
    """Pairs of opcodes of conditional jumps, of which one jumps where the other does not."""


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
    opcode: int
    """If it is a conditional jump; else 0."""


class Jump(NamedTuple):
    """A conditional jump of byte code, which the interpreter takes or not."""

    file: str
    """Of the function's source."""
    function: str
    """Qualified."""
    first: int
    """The function's first line."""
    offset: int
    """Bytes from the beginning of its code."""
    opcode: int


class Told(NamedTuple):
    """The byte code that ran."""

    instructions: list[Instruction]
    """In the order in which each ran first."""
    executed: int
    """How many instructions ran since the beginning, each time counted."""
    untold: bool
    """Whether some are left out, because there were too many."""


class Bytecode(Watcher[Told]):
    """What the plugin of one emulator tells."""

    source = HERE / "bytecode.c"

    def __init__(self, interpreters: Sequence[Interpreter]) -> None:
        super().__init__()
        self._interpreters = interpreters
        self._functions: list[Function] = []

    def options(self) -> list[str]:
        """Where the interpreters are."""
        return [
            "python=" + ":".join([*map(str, numbers), *(f"{a}-{b}" for a, b in opposites)])
            for *numbers, opposites in self._interpreters
        ]

    def begin(self) -> None:
        """Forget what memory holds, too: a state that was restored has other things there."""
        self.ask(b"f")

    def turn(self, jumps: Sequence[Jump]) -> None:
        """From here on, each of these jumps is taken where it would not be, and not where it would
        be, in all processes that run its function from its beginning; others as they are.

        :raises MachineError: when these are too many.
        """
        if len(jumps) > MOST_TURNED:
            raise MachineError(f"{len(jumps)} jumps are more than can be turned, {MOST_TURNED}")
        self.ask(b"t" + struct.pack("<I", len(jumps)) + b"".join(map(_packed, jumps)))

    @property
    def executed(self) -> int:
        """How many instructions ran since the beginning."""
        self.ask(b"n")
        (count,) = _COUNT.unpack(self.receive(_COUNT.size))
        return int(count)

    def take(self) -> Told:
        """What ran since it was last asked."""
        self.ask(b"?")
        units, objects, length, left_out, count = _REPLY.unpack(self.receive(_REPLY.size))
        known = len(self._functions) + objects
        if units > _MOST_UNITS or known > _MOST_OBJECTS or length > _MOST_BYTES:
            raise MachineError("the emulator tells of more byte code than it may")
        told = np.frombuffer(self.receive(12 * units), np.uint32).reshape(-1, 3)
        for _ in range(objects):
            self._functions.append(self._function())
        found = [Instruction(self._functions[i], *rest) for i, *rest in told.tolist()]
        return Told(found, count, left_out > 0)

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


def _packed(jump: Jump) -> bytes:
    (file, file_kind), (name, name_kind) = _raw(jump.file), _raw(jump.function)
    kinds = file_kind | name_kind << 8
    sizes = len(file), len(name)
    return _JUMP.pack(jump.first, *sizes, kinds, jump.offset, jump.opcode) + file + name


def _raw(text: str) -> tuple[bytes, int]:
    """A string as Python's memory has it, and how many bytes a character has."""
    most = max(map(ord, text), default=0)
    kind = 1 if most < 1 << 8 else 2 if most < 1 << 16 else 4
    return text.encode(_ENCODINGS[kind], "surrogatepass"), kind
