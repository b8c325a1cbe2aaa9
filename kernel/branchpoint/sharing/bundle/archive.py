"""The outer form of a bundle: a zip archive in which the format fixes every byte.

Any program for zip archives lists and extracts it. We accept no other zip archive: entries follow
each other in the order of the table of contents, not compressed by zip, with fixed attributes, and
nothing is between or behind them. So only names that the table of contents allows occur, each once,
none is a link or a device, and a file that was cut off or changed anywhere is not accepted.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from branchpoint.errors import RecordingError

_LOCAL = struct.Struct("<4sHHHHHIIIHH")
_CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
_END = struct.Struct("<4sHHHHIIH")
_VERSION = 20
_UNIX = 3 << 8
_MODE = 0o100644 << 16  # an ordinary file
_DAY = 0x21  # 1 January 1980, the first day there is
LARGEST = 0xFFFFFFFF
"""Bytes of a whole archive at most: the limit of zip without its extensions."""
MOST = 0xFFFF
"""Entries."""
_PIECE = 1 << 20  # bytes copied at once


def length(entries: Iterable[tuple[str, int]]) -> int:
    """Bytes of an archive with entries of these names and sizes."""
    sizes = (_LOCAL.size + _CENTRAL.size + 2 * len(name) + size for name, size in entries)
    return sum(sizes) + _END.size


def _local(name: str, crc: int, size: int) -> bytes:
    head = (b"PK\3\4", _VERSION, 0, 0, 0, _DAY, crc, size, size, len(name), 0)
    return _LOCAL.pack(*head) + name.encode()


def _central(name: str, crc: int, size: int, offset: int) -> bytes:
    head = (b"PK\1\2", _UNIX | _VERSION, _VERSION, 0, 0, 0, _DAY, crc, size, size, len(name),
            0, 0, 0, 0, _MODE, offset)  # fmt: skip
    return _CENTRAL.pack(*head) + name.encode()


class _Index:
    """The index at the end of an archive."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._offset = 0

    def add(self, name: str, crc: int, size: int) -> None:
        self._lines.append(_central(name, crc, size, self._offset))
        self._offset += _LOCAL.size + len(name) + size

    def encode(self) -> bytes:
        lines, count = b"".join(self._lines), len(self._lines)
        return lines + _END.pack(b"PK\5\6", 0, 0, count, count, len(lines), self._offset, 0)


class Writer:
    """Writes an archive into an empty file, entry by entry."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._index = _Index()

    def add(self, name: str, content: BinaryIO, size: int) -> None:
        """Add an entry of ``size`` bytes."""
        start = self._file.tell()
        self._file.write(_local(name, 0, size))
        crc, left = 0, size
        while left:
            piece = content.read(min(_PIECE, left))
            if not piece:
                raise RecordingError(f"{name} became shorter while it was being packed")
            crc = zlib.crc32(piece, crc)
            left -= len(piece)
            self._file.write(piece)
        self._file.seek(start)
        self._file.write(_local(name, crc, size))  # now that it is known
        self._file.seek(0, 2)
        self._index.add(name, crc, size)

    def finish(self) -> None:
        """Write what stands at the end."""
        self._file.write(self._index.encode())


class Entry:
    """The content of one entry, which is read once, from its beginning to its end."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.left = size
        """Bytes that are not read yet."""
        self.crc = 0

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` more bytes; b"" at the end."""
        wanted = self.left if size < 0 else min(size, self.left)
        piece = self._file.read(wanted)
        if len(piece) < wanted:
            raise ValueError("it is cut off")
        self.left -= wanted
        self.crc = zlib.crc32(piece, self.crc)
        return piece


class Reader:
    """Reads an archive from its beginning to its end.

    Anything that is not as it must be raises a ValueError that says what.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._index = _Index()

    def first(self, name: str, limit: int) -> bytes:
        """The content of the first entry, which must have this name and at most ``limit`` bytes."""
        head = self._file.read(_LOCAL.size)
        if len(head) < _LOCAL.size or not head.startswith(b"PK\3\4"):
            raise ValueError("it does not begin like a bundle")
        size = _LOCAL.unpack(head)[7]
        if size > limit:
            raise ValueError(f"its table of contents is too large: {size} bytes, at most {limit}")
        self._file.seek(0)
        with self._entry(name, size) as entry:
            return entry.read()

    def entries(self, wanted: Iterable[tuple[str, int]]) -> Iterator[tuple[str, Entry]]:
        """The other entries, which must have these names and sizes; each is to be read whole."""
        for name, size in wanted:
            with self._entry(name, size) as entry:
                yield name, entry
        if self._file.read(1 << 24) != self._index.encode():
            raise ValueError("its index is damaged")

    @contextmanager
    def _entry(self, name: str, size: int) -> Iterator[Entry]:
        head = self._file.read(_LOCAL.size + len(name))
        crc = _LOCAL.unpack_from(head)[6] if len(head) >= _LOCAL.size else 0
        if head != _local(name, crc, size):
            raise ValueError(f"{name} does not begin where it should")
        entry = Entry(self._file, size)
        yield entry
        if entry.left:
            raise ValueError(f"{name} has {entry.left} bytes too many")
        if entry.crc != crc:
            raise ValueError(f"{name} is damaged")
        self._index.add(name, crc, size)
