"""Which line an instruction of byte code belongs to, as Python itself says."""

from __future__ import annotations

import argparse
import ctypes
import dis
import inspect
import json
import statistics
import sys
from collections.abc import Iterator
from types import CodeType, ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from branchpoint.machine.watching.bytecode import Function, Instruction, Jump
from branchpoint.programs.python import _LAYOUTS, Decision, Line, decisions, line_of, lines


def codes(code: CodeType) -> Iterator[CodeType]:
    """A code object and all that are in it."""
    yield code
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from codes(inner)


def function(code: CodeType) -> Function:
    return Function(code.co_filename, code.co_qualname, code.co_firstlineno, code.co_linetable)


@pytest.mark.parametrize("module", [argparse, inspect, json.decoder, statistics])
def test_every_instruction_of_a_module_has_the_line_that_python_says(module: ModuleType) -> None:
    whole = compile(inspect.getsource(module), "module.py", "exec")
    for code in codes(whole):
        expected = [line for line, *_ in code.co_positions()]
        found = [line_of(function(code), 2 * i) for i in range(len(expected))]
        assert found == expected
        assert line_of(function(code), 2 * len(expected)) is None


def test_lines_come_once_and_in_the_order_in_which_they_ran() -> None:
    def some(numbers: list[int]) -> int:
        total = 0
        for number in numbers:
            total += number
        return total

    mine = function(some.__code__)
    first = mine.line
    offsets = {}
    for i, (line, *_) in enumerate(some.__code__.co_positions()):
        offsets.setdefault(line, 2 * i)
    ran = [offsets[first + 3], offsets[first + 1], offsets[first + 3], offsets[first + 4]]
    assert lines(Instruction(mine, offset, 0) for offset in ran) == [
        Line(mine.file, mine.name, first + number) for number in (3, 1, 4)
    ]


def test_where_a_module_begins_is_no_line() -> None:
    code = compile("a = 1\n", "m.py", "exec")
    told = lines(Instruction(function(code), 2 * i, 0) for i in range(len(code.co_code) // 2))
    assert told == [Line("m.py", "<module>", 1)]


def test_decisions_are_jumps_that_belong_to_a_line() -> None:
    code = compile("if a:\n    b = 1\n", "m.py", "exec")
    mine = function(code)
    told = [each.offset for each in dis.get_instructions(code) if "POP_JUMP" in each.opname]
    ran = [Instruction(mine, told[0], 97), Instruction(mine, 0, 97), Instruction(mine, told[0], 0)]
    jump = Jump("m.py", "<module>", 1, told[0], 97)
    assert decisions([*ran, ran[0]]) == [Decision(jump, 1)]


@pytest.mark.skipif(sys.version_info[1] not in _LAYOUTS, reason="of this Python nothing is told")
def test_opposite_jumps_are_where_python_has_them() -> None:
    for pair in _LAYOUTS[sys.version_info[1]].opposites:
        some, other = (dis.opname[opcode] for opcode in pair)
        assert "POP_JUMP" in some and some != other
        words = [
            name.replace("_TRUE", "").replace("_FALSE", "").replace("_NOT_NONE", "_NONE")
            for name in (some, other)
        ]
        assert words[0] == words[1], (some, other)


@given(table=st.binary(max_size=60), offset=st.integers(0, 200))
def test_a_damaged_table_does_no_harm(table: bytes, offset: int) -> None:
    line_of(Function("a", "b", 1, table), offset)


@pytest.mark.skipif(sys.version_info[1] not in _LAYOUTS, reason="of this Python nothing is told")
def test_the_fields_of_a_code_object_are_where_they_are_said_to_be() -> None:
    """In the Python that runs this test, as in those of containers."""
    layout = _LAYOUTS[sys.version_info[1]]
    code = codes.__code__

    def pointer(offset: int) -> int | None:
        return ctypes.c_void_p.from_address(id(code) + offset).value

    assert pointer(layout.file) == id(code.co_filename)
    assert pointer(layout.function) == id(code.co_qualname)
    assert ctypes.c_int.from_address(id(code) + layout.line).value == code.co_firstlineno
    assert ctypes.c_int.from_address(id(code) + 48).value == code.co_flags  # FLAGS in bytecode.c
    table = pointer(layout.table)
    assert table is not None
    assert ctypes.string_at(table + bytes.__basicsize__ - 1, 20) == code.co_linetable[:20]
    adaptive: bytes = code._co_code_adaptive  # type: ignore[attr-defined]
    assert ctypes.string_at(id(code) + layout.code, len(adaptive)) == adaptive
    name = code.co_qualname
    assert ctypes.string_at(id(name) + layout.text, len(name)) == name.encode()
