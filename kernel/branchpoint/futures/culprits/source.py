"""Code by file, function and line, for people."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from branchpoint.programs.elf import Program
from branchpoint.programs.images import File, Images
from branchpoint.programs.python import Line, interpreters

_LIBRARY = re.compile(
    r"<|.*/(?:python3(?:\.\d+)?|site-packages|dist-packages)/|.*\.so[.\d]*$"
    r"|.*/go(?:-[\d.]+)?/src/|.*/pkg/mod/|(?:runtime|internal|syscall|os|sync|time|reflect)/"
    r"|/rustc/|.*/\.cargo/registry/|/usr/include/"
)
"""Paths of libraries: Python's frozen modules, its own and installed ones; shared objects; what
comes with Go (with a path from its folder, or without, as -trimpath makes them) and its modules;
Rust's own and its crates; headers, whose code is in programs."""
_PYTHON = "a Python other than 3.11 to 3.13"
_UNKNOWN = [
    (re.compile(pattern), language)
    for pattern, language in (
        (r"libjvm\.so", "Java"),
        (r"node(js)?|libnode\.so[.\d]*", "JavaScript"),
        (r"ruby[.\d]*|libruby[-.\d]*\.so[.\d]*", "Ruby"),
        (r"php[.\d]*|php-fpm[.\d]*", "PHP"),
        (r"perl|libperl\.so[.\d]*", "Perl"),
        (r"beam\.smp", "Erlang"),
        (r"libcoreclr\.so", "C#"),
        (r"lua[.\d]*|luajit[-.\d\w]*|liblua[-.\d]*\.so[.\d]*", "Lua"),
        (r"bash|dash", "shell"),
        (r"python[.\d]*|libpython[.\d]*\.so[.\d]*", _PYTHON),
    )
]
"""Interpreters whose programs' lines are not told, by the names of their files."""
_DEBUG = "/usr/lib/debug/.build-id"
_SYMBOLS = "/symbols"
"""Where files of symbols are, in any image; here by the path of the program."""


class Spot(NamedTuple):
    """A piece of code: a line, or where it has none, a place in machine code."""

    file: str
    """The source, or where that is not known the program; in the container."""
    function: str
    """Empty when it is not known."""
    line: int | None
    offset: int
    """Bytes from the beginning of the function, or else of the program, where there is no line."""
    containers: tuple[str, ...]
    """Those whose image has the file; it may have run in any of them."""
    body: bool = False
    """Whether it runs once, when a Python module is imported."""

    @property
    def library(self) -> bool:
        """Whether it belongs to a library, from a package or of the language."""
        return _LIBRARY.match(self.file) is not None

    @property
    def place(self) -> str:
        """``ring.py:41`` or ``redis-server+0x1f0``, without a folder."""
        name = self.file.rpartition("/")[2]
        return f"{name}+{self.offset:#x}" if self.line is None else f"{name}:{self.line}"


def matches(spot: Spot, only: str) -> bool:
    """Whether a pattern for files, or for a file and a function with a blank between, fits."""
    return fnmatchcase(spot.file, only) or fnmatchcase(f"{spot.file} {spot.function}", only)


class Source:
    """The programs of a system, in its memory module."""

    def __init__(self, module: Path) -> None:
        """:raises ImageError: when the module cannot be read."""
        self._images = Images(module)
        self._pythons = interpreters(module)
        self._texts: dict[str, list[str]] = {}

    def of_lines(self, lines: Iterable[Line]) -> dict[Line, Spot]:
        """Lines of Python programs."""
        found = {}
        for line in lines:
            file = self._images.by_path.get(line.file)
            containers = file.containers if file else ()
            found[line] = Spot(line.file, line.function, line.line, 0, containers, line.body)
        return found

    def of_places(self, places: Set[int], beside: Iterable[int] = ()) -> dict[int, Spot]:
        """Places of machine code, and those ``beside`` them that are in the same programs; without
        those of interpreters whose byte code is told.
        """
        within: dict[File, list[int]] = defaultdict(list)
        for place in places:
            file = self._images.at(place)
            if file is not None and file.extent not in self._interpreters:
                within[file].append(place)
        for place in beside:
            file = self._images.at(place)
            if file in within and place not in places:
                within[file].append(place)
        found: dict[int, Spot] = {}
        for file, mine in within.items():
            found.update(self._spots(file, mine))
        return found

    def unknown(self, places: Iterable[int]) -> list[str]:
        """Languages whose interpreters have such places, but whose programs' lines are not known;
        with the containers in which they may have run: ``Java (a.1)``.
        """
        found: dict[str, dict[str, None]] = {}
        files = self._images.among(places)
        known = {name for f in files if f.extent in self._interpreters for name in f.containers}
        for file in files:
            name = file.path.rpartition("/")[2]
            language = next((word for pattern, word in _UNKNOWN if pattern.fullmatch(name)), "")
            of = [name for name in file.containers if language != _PYTHON or name not in known]
            if language and of:
                found.setdefault(language, {}).update(dict.fromkeys(of))
        return [f"{language} ({', '.join(of)})" for language, of in sorted(found.items())]

    @cached_property
    def _interpreters(self) -> set[object]:
        files = (self._images.at(each.first) for each in self._pythons)
        return {file.extent for file in files if file is not None}

    def _spots(self, file: File, places: list[int]) -> Iterator[tuple[int, Spot]]:
        offsets = {place: place - file.extent.start for place in places}
        try:
            program = Program(self._images.read(file))
        except ValueError:
            for place, offset in offsets.items():
                yield place, Spot(file.path, "", None, offset, file.containers)
            return
        addresses = {place: program.address(offset) for place, offset in offsets.items()}
        known = self._debug(file, program)
        lines = known.lines([address for address in addresses.values() if address is not None])
        for place, address in addresses.items():
            symbol = None if address is None else known.function_at(address)
            name = "" if symbol is None else symbol.name
            if address in lines:
                source, line = lines[address]
                yield place, Spot(source, name, line, 0, file.containers)
            else:
                start = 0 if symbol is None or address is None else address - symbol.start
                offset = offsets[place] if symbol is None else start
                yield place, Spot(file.path, name, None, offset, file.containers)

    def _debug(self, file: File, program: Program) -> Program:
        """Where the symbols of a program are: in a file of their own, as debug packages have them,
        or in itself.
        """
        build = program.build_id
        for path in (f"{_DEBUG}/{build[:2]}/{build[2:]}.debug", f"{_SYMBOLS}{file.path}"):
            apart = self._images.by_path.get(path)
            if build and apart is not None:
                with suppress(ValueError):
                    found = Program(self._images.read(apart))
                    if found.build_id == build:
                        return found
        return program

    def lines(self, file: str) -> list[str]:
        """The text of a source file, if an image has it; else nothing."""
        known = self._texts.get(file)
        if known is None:
            found = self._images.by_path.get(file)
            data = b"" if found is None else self._images.read(found)
            known = self._texts[file] = data.decode("utf-8", "replace").splitlines()
        return known

    def text(self, spot: Spot) -> str:
        """The line's text, if its source is in an image; else nothing."""
        lines = self.lines(spot.file) if spot.line is not None else []
        number = spot.line or 0
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""
