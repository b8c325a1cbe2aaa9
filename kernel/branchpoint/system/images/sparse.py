"""Maps of sparse files in tar archives: which parts have data, which are holes.

GNU tar and libarchive write two forms that are in use: GNU's own (entries of type ``S``), and
version 1.0 in a pax archive, whose map stands before the data. Older ones are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import IO, NamedTuple

from branchpoint.errors import ImageError

_BLOCK = 512
MOST = 1 << 16
"""Parts with data that the sparse files of an archive have at most, all together."""
_KNOWN = {"major", "minor", "name", "realsize"}  # keys of version 1.0
_IN_FIRST, _IN_MORE = 4, 21  # parts that a block of GNU's form has room for
_LINE = 32  # bytes of a number in a map, at most
PREFIX = "GNU.sparse."
"""Keys of a pax header that begin with it describe a sparse file."""


class Sparse(NamedTuple):
    """A sparse file in an archive."""

    size: int
    """With its holes, bytes."""
    map: int
    """Bytes of the archive that its map takes up, before the data; whole blocks."""
    parts: int
    """How many parts have data."""


def of_block(
    first: bytes, file: IO[bytes], data: int, number: Callable[[bytes], int], what: str
) -> Sparse:
    """GNU's form: the map is in the header's block ``first`` and in those that follow in ``file``.

    ``data``: how many bytes of data the entry has; ``number`` reads a field of a header.

    :raises ImageError: when the map and the data do not fit together.
    """
    parts = _fields(first, 386, _IN_FIRST, number, what)
    size, goes_on, blocks = number(first[483:495]), first[482], 0
    while goes_on:
        block = file.read(_BLOCK)
        if len(block) < _BLOCK:
            raise ImageError(f"{what} is cut off")
        blocks += 1
        parts += _fields(block, 0, _IN_MORE, number, what)
        goes_on = block[504]
        _expect_few(len(parts), what)
    _check(parts, data, size, what)
    return Sparse(size, blocks * _BLOCK, len(parts))


def _fields(
    block: bytes, at: int, count: int, number: Callable[[bytes], int], what: str
) -> list[tuple[int, int]]:
    found = []
    for place in range(at, at + 24 * count, 24):
        if not block[place]:  # others take what stands after it for parts
            if block[place : at + 24 * count].strip(b"\0"):
                raise _malformed(what)
            break
        found.append((number(block[place : place + 12]), number(block[place + 12 : place + 24])))
    return found


def of_pax(keys: dict[str, str], file: IO[bytes], data: int, what: str) -> Sparse:
    """Version 1.0: ``keys`` of the pax header without :data:`PREFIX`; the map stands in ``file``,
    in the first blocks of the entry's ``data`` bytes.

    :raises ImageError: when the map and the data do not fit together, or it is another version.
    """
    size = keys.get("realsize", "")
    version = keys.get("major"), keys.get("minor")
    if version != ("1", "0") or not keys.keys() <= _KNOWN or not re.fullmatch(r"\d{1,15}", size):
        raise ImageError(
            f"{what} has a sparse file in a form that is not in use any more",
            "make the layer again with a newer tar, or without --sparse",
        )
    lines = _Lines(file, data, what)
    count = lines.number()
    _expect_few(count, what)
    parts = [(lines.number(), lines.number()) for _ in range(count)]
    _check(parts, data - lines.read, int(size), what)
    return Sparse(int(size), lines.read, count)


class _Lines:
    """Numbers, one a line, in whole blocks of which there are at most ``left`` bytes."""

    def __init__(self, file: IO[bytes], left: int, what: str) -> None:
        self._file, self._left, self._what = file, left, what
        self._text = b""
        self.read = 0
        """Bytes that were read."""

    def number(self) -> int:
        while b"\n" not in self._text:
            block = self._file.read(_BLOCK) if self.read + _BLOCK <= self._left else b""
            if len(block) < _BLOCK or len(self._text) > _LINE:
                raise _malformed(self._what)
            self.read += _BLOCK
            self._text += block
        line, _, self._text = self._text.partition(b"\n")
        if not re.fullmatch(rb"\d{1,15}", line):
            raise _malformed(self._what)
        return int(line)


def _expect_few(parts: int, what: str) -> None:
    if parts > MOST:
        raise ImageError(f"{what} has a sparse file with more than {MOST} parts")


def _check(parts: list[tuple[int, int]], data: int, size: int, what: str) -> None:
    """Parts follow each other, end in the file, and have all the data there is."""
    end = 0
    for offset, length in parts:
        if offset < end:
            raise _malformed(what)
        end = offset + length
    if end > size or sum(length for _, length in parts) != data:
        raise _malformed(what)


def _malformed(what: str) -> ImageError:
    return ImageError(f"{what} has a sparse file whose map is malformed")
