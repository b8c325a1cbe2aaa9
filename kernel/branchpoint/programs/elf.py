"""Functions and lines of a program in machine code."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

_MAGIC = b"\x7fELF"
_TABLES = (".symtab", ".dynsym")
_BUILD_ID = ".note.gnu.build-id"


class Symbol(NamedTuple):
    """A function in a program."""

    start: int
    """Its address in the file's own numbering."""
    end: int
    name: str


class Program:
    """An ELF file: an executable or a library."""

    def __init__(self, data: bytes) -> None:
        """:raises ValueError: when it is none."""
        if not data.startswith(_MAGIC):
            raise ValueError("it is no ELF file")
        try:
            self._elf: Any = ELFFile(io.BytesIO(data))
            self._loads = [
                (each["p_offset"], each["p_filesz"], each["p_vaddr"])
                for each in self._elf.iter_segments("PT_LOAD")
            ]
            """Of each part that is loaded: its place in the file, its length there, its address."""
        except Exception as problem:  # the file may be a stranger's, and damaged in any way
            raise ValueError(f"it is damaged: {problem}") from problem

    @cached_property
    def build_id(self) -> str:
        """What names this build, in hexadecimal digits; "" when nothing does."""
        with suppress(Exception):
            section = self._elf.get_section_by_name(_BUILD_ID)
            return next((str(note["n_desc"]) for note in section.iter_notes()), "")
        return ""

    def address(self, offset: int) -> int | None:
        """The address of a place in the file; None: it is not loaded."""
        for start, length, address in self._loads:
            if start <= offset < start + length:
                return int(address + offset - start)
        return None

    def offset(self, address: int) -> int | None:
        """The place in the file of an address."""
        for start, length, begin in self._loads:
            if begin <= address < begin + length:
                return int(start + address - begin)
        return None

    @cached_property
    def functions(self) -> list[Symbol]:
        """Its functions by address; none when it was stripped, or is damaged."""
        found: dict[int, Symbol] = {}
        with suppress(Exception):
            for name in _TABLES:
                table = self._elf.get_section_by_name(name)
                if isinstance(table, SymbolTableSection):
                    for each in _functions(table):
                        found.setdefault(each.start, each)
        return [found[start] for start in sorted(found)]

    def function(self, name: str) -> Symbol | None:
        """The function of that name."""
        return next((each for each in self.functions if each.name == name), None)

    def function_at(self, address: int) -> Symbol | None:
        """The function that an address belongs to, as far as symbols say."""
        at = bisect_right(self.functions, address, key=lambda each: each.start) - 1
        if at < 0 or address >= self.functions[at].end:
            return None
        return self.functions[at]

    def lines(self, addresses: list[int]) -> dict[int, tuple[str, int]]:
        """The source file and line of each address; only of those that debug information names."""
        found: dict[int, tuple[str, int]] = {}
        with suppress(Exception):
            found.update(self._lines(sorted(addresses)))
        return found

    def _lines(self, addresses: list[int]) -> Iterator[tuple[int, tuple[str, int]]]:
        if not self._elf.has_dwarf_info():
            return
        dwarf = self._elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            yield from _within(program, unit, addresses)


def _functions(table: SymbolTableSection) -> Iterator[Symbol]:
    for symbol in table.iter_symbols():
        kind, start, size = symbol["st_info"]["type"], symbol["st_value"], symbol["st_size"]
        if kind == "STT_FUNC" and start and symbol["st_shndx"] != "SHN_UNDEF":
            yield Symbol(start, start + max(size, 1), symbol.name)


def _within(program: Any, unit: Any, addresses: list[int]) -> Iterator[tuple[int, tuple[str, int]]]:
    """The addresses that a unit's table of lines has."""
    before = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if before is not None and not before.end_sequence:
            first = bisect_right(addresses, before.address - 1)
            for address in addresses[first : bisect_right(addresses, state.address - 1)]:
                yield address, (_source(program, unit, before.file), before.line)
        before = state


def _source(program: Any, unit: Any, number: int) -> str:
    """The name of a source file, with its folder if it is known."""
    header = program.header
    first = 0 if header.version >= 5 else 1  # DWARF 5 numbers from 0
    entry = header["file_entry"][number - first]
    folders = header["include_directory"]
    if entry.dir_index == 0 and first:
        top = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        folder = top.value if top else b""
    else:
        folder = folders[entry.dir_index - first] if folders else b""
    name = entry.name.decode("utf-8", "replace")
    within = folder.decode("utf-8", "replace")
    return name if name.startswith("/") or not within else f"{within}/{name}"
