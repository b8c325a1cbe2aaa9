"""Which file a place in a system's memory module belongs to.

Reads the part of an erofs file system (Linux' fs/erofs/erofs_fs.h) that :mod:`erofs` writes: plain
inodes of regular files, each with its content in one piece, and directories.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from branchpoint.errors import ImageError
from branchpoint.guest.erofs import DATA_OFFSET

_SUPER, _MAGIC = 1024, 0xE0F5E1E2
_INODE = 32  # bytes in which inodes are numbered
_ENTRY = struct.Struct("<QHBB")  # of a directory: inode, where the name is, type
_REGULAR, _DIRECTORY = 1, 2
_PLAIN, _INLINE = 0, 2  # how the content of an inode is laid out
_MOST_FILES = 1 << 22
_LARGEST = 1 << 26  # bytes of a directory
_DEEPEST = 200


class Extent(NamedTuple):
    """Where a file lies."""

    start: int
    """Bytes from the beginning of the module."""
    end: int
    path: str
    """In the module, without a slash in front."""


class Places:
    """The files of one memory module, by place."""

    def __init__(self, module: Path) -> None:
        """Read the table of files of a module.

        :raises ImageError: when it is none.
        """
        with module.open("rb") as file:
            try:
                self.extents = sorted(_Reader(file.fileno()).files())
            except (struct.error, ValueError) as problem:
                raise ImageError(f"{module} is not a system's image: {problem}") from None
        self._starts = [extent.start for extent in self.extents]

    def file(self, place: int) -> Extent | None:
        """The file at a place; None when there is none."""
        at = bisect_right(self._starts, place) - 1
        if at < 0 or place >= self.extents[at].end:
            return None
        return self.extents[at]


class _Node(NamedTuple):
    kind: int
    layout: int
    size: int
    block: int
    tail: int
    """Where content that is laid out inline goes on."""


class _Reader:
    """The file system in an open module."""

    def __init__(self, fd: int) -> None:
        self._fd, self._length = fd, os.fstat(fd).st_size
        head = self._read(_SUPER, 64)
        magic, bits, root = struct.unpack_from("<I8xBxH", head)
        if magic != _MAGIC:
            raise ValueError("no erofs file system")
        self._block = 1 << bits
        self._inodes = struct.unpack_from("<I", head, 40)[0] << bits
        self._root = root
        self._left = _MOST_FILES

    def _read(self, at: int, size: int) -> bytes:
        if not size:  # then it may lie nowhere
            return b""
        if DATA_OFFSET + at + size > self._length:
            raise ValueError("it ends too early")
        return os.pread(self._fd, size, DATA_OFFSET + at)

    def files(self) -> Iterator[Extent]:
        """All regular files with content."""
        return self._below(self._root, "", 0)

    def _below(self, number: int, path: str, depth: int) -> Iterator[Extent]:
        if depth > _DEEPEST:
            raise ValueError("its directories are too deep")
        for child, kind, name in self._entries(self._node(number)):
            self._left -= 1
            if not self._left:
                raise ValueError("it has too many files")
            inner = f"{path}/{name}" if path else name
            if kind == _DIRECTORY:
                yield from self._below(child, inner, depth + 1)
            elif kind == _REGULAR:
                node = self._node(child)
                start = DATA_OFFSET + node.block * self._block
                if node.size and node.layout == _PLAIN:
                    yield Extent(start, start + node.size, inner)

    def _node(self, number: int) -> _Node:
        at = self._inodes + number * _INODE
        head = self._read(at, 64)
        form, attributes, mode = struct.unpack_from("<HHH", head)
        long = form & 1
        size, block = struct.unpack_from("<QI" if long else "<I4xI", head, 8)
        length = (64 if long else 32) + (12 + (attributes - 1) * 4 if attributes else 0)
        return _Node(mode >> 12, form >> 1 & 7, size, block, at + length)

    def _entries(self, node: _Node) -> Iterator[tuple[int, int, str]]:
        """Number, kind and name of each file in a directory."""
        if node.size > _LARGEST:
            raise ValueError("one of its directories is too large")
        whole = node.size // self._block * self._block if node.layout == _INLINE else node.size
        content = self._read(node.block * self._block, whole)
        content += self._read(node.tail, node.size - whole)
        for start in range(0, len(content), self._block):
            yield from self._names(content[start : start + self._block])

    def _names(self, block: bytes) -> Iterator[tuple[int, int, str]]:
        count = _ENTRY.unpack_from(block)[1] // _ENTRY.size
        entries = [_ENTRY.unpack_from(block, i * _ENTRY.size) for i in range(count)]
        ends = [entry[1] for entry in entries[1:]] + [len(block)]
        for (number, begin, kind, _), end in zip(entries, ends, strict=True):
            name = block[begin:end].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
            if name not in (".", ".."):
                yield number, kind, name
