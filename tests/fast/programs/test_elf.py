"""Functions and lines of programs in machine code."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from branchpoint.programs.elf import Program

SOURCE = """\
static int add(int a, int b)
{
    return a + b;
}

__attribute__((noinline)) int twice(int n)
{
    n = add(n, n);
    return n;
}

int main(int count, char **words)
{
    return twice(count) + words[0][0];
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where program.c is, and program, compiled from it with debug information."""
    folder = tmp_path_factory.mktemp("elf")
    (folder / "program.c").write_text(SOURCE)
    subprocess.run(["cc", "-g", "-O0", "-o", "program", "program.c"], cwd=folder, check=True)
    return folder


@pytest.fixture(scope="module")
def data(folder: Path) -> bytes:
    return (folder / "program").read_bytes()


def addresses(program: Program, name: str) -> list[int]:
    symbol = program.function(name)
    assert symbol is not None
    return list(range(symbol.start, symbol.end))


def test_a_place_in_the_file_has_its_function_and_its_line(folder: Path, data: bytes) -> None:
    program = Program(data)
    found = addresses(program, "twice")
    assert {program.function_at(each).name for each in found} == {"twice"}  # type: ignore[union-attr]
    lines = program.lines(found)
    assert [*dict.fromkeys(lines[each] for each in found)] == [
        (str(folder / "program.c"), line) for line in (7, 8, 9, 10)
    ]
    for address in found:
        offset = program.offset(address)
        assert offset is not None and program.address(offset) == address


def test_what_belongs_to_nothing_is_not_named(data: bytes) -> None:
    program = Program(data)
    assert program.function("nowhere") is None
    assert program.function_at(1) is None
    assert program.lines([1]) == {}
    assert program.address(len(data)) is None and program.offset(1 << 60) is None


def test_a_stripped_program_has_no_names_and_no_lines(folder: Path, data: bytes) -> None:
    subprocess.run(["strip", "-o", "bare", "program"], cwd=folder, check=True)
    bare, whole = Program((folder / "bare").read_bytes()), Program(data)
    start = addresses(whole, "twice")[0]
    assert bare.function("twice") is None and bare.function_at(start) is None
    assert bare.lines([start]) == {}
    assert bare.offset(start) is not None


@pytest.mark.parametrize(
    "broken", [b"", b"#!/bin/sh\n", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(20)]
)
def test_what_is_no_program_is_said_to_be_none(broken: bytes) -> None:
    with pytest.raises(ValueError):
        Program(broken)


@settings(max_examples=300)
@given(flips=st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(1, 255)), max_size=20))
def test_a_damaged_program_does_no_harm(folder: Path, flips: list[tuple[int, int]]) -> None:
    changed = bytearray((folder / "program").read_bytes())
    for at, by in flips:
        changed[at % len(changed)] ^= by
    try:
        program = Program(bytes(changed))
    except ValueError:
        return
    program.address(100)
    program.function("twice")
    program.lines([0x1139, 0x1150])
