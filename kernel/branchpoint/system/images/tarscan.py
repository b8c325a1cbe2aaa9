"""Checks an untrusted tar file before anything else reads it.

Only headers are read and nothing is trusted: sizes, counts, name lengths and extension headers
are bounded; kinds of entries that container images do not use are refused. What passes is safe for
:meth:`branchpoint.guest.tree.Tree.apply_tar`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import IO

from branchpoint.errors import ImageError
from branchpoint.system.images import sparse

BLOCK = 512
MAX_ENTRIES = 1_000_000
_MAX_EXTENSION = 1 << 20  # bytes of one pax header or long name
_MAX_NAME = 4096
_MAX_DEPTH = 200
_ALLOWED = b"0\x007123456S"
_EXTENSIONS = b"xgLK"
_SPARSE_NAME = f"{sparse.PREFIX}name"


@dataclass(frozen=True, slots=True)
class Entry:
    """One member: its data is ``size`` bytes at ``offset`` in the tar file."""

    name: str
    kind: str  # "file", "link" (symbolic), "directory" or "other"
    target: str
    offset: int
    size: int
    holes: int = 0
    """So many bytes more has a sparse file that is read from it."""


def scan(file: IO[bytes], what: str, room: int = 0) -> list[Entry]:
    """All members of the seekable, uncompressed tar ``file``; ``what`` names it in errors.

    ``room``: how many bytes the holes of sparse files may have, all together.

    :raises ImageError: when it is cut off, malformed, or larger than any real image.
    """
    end = file.seek(0, 2)
    at = 0
    entries: list[Entry] = []
    extension: dict[str, str] = {}
    headed = False  # whether a pax header came for the next entry
    parts = 0  # of sparse files
    while True:
        file.seek(at)
        block = file.read(BLOCK)
        if not block or block == bytes(BLOCK):
            return entries
        if len(block) < BLOCK:
            raise ImageError(f"{what} is cut off")
        if not _checksum_holds(block):
            raise ImageError(f"{what} is not a tar archive, or is damaged (at byte {at})")
        kind = block[156:157]
        size = _number(block[124:136], what)
        if kind in _EXTENSIONS:
            if size > _MAX_EXTENSION:
                raise ImageError(f"{what} has a header of {size} bytes")
            data = file.read(size)
            if len(data) < size:
                raise ImageError(f"{what} is cut off")
            found = _extension(kind, data, what)
            hollow = any(key.startswith(sparse.PREFIX) for key in extension | found)
            if kind == b"x" and headed and hollow:  # which one counts depends on who reads it
                raise ImageError(f"{what} has a sparse file with two headers")
            headed = headed or kind == b"x"
            extension |= found
        elif kind not in _ALLOWED:
            raise ImageError(f"{what} has an entry of the unknown type {kind!r}")
        else:
            if "size" in extension:
                size = _pax_size(extension["size"], what)
            if kind not in (b"0", b"\0", b"7", b"1", b"S"):
                size = 0
            told = _sparse(block, kind, extension, file, size, what)
            entry = _entry(block, kind, extension, at + BLOCK, size, what)
            if told is not None:
                room -= told.size
                parts += told.parts
                if room < 0 or parts > sparse.MOST:
                    raise ImageError(f"{what} has sparse files that are too large for it")
                entry = replace(entry, holes=told.size)
                at += told.map if kind == b"S" else 0
            entries.append(entry)
            extension, headed = {}, False
            if len(entries) > MAX_ENTRIES:
                raise ImageError(f"{what} has more than {MAX_ENTRIES} entries")
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
        if at > end + BLOCK:
            raise ImageError(f"{what} is cut off")


def _sparse(
    block: bytes,
    kind: bytes,
    extension: dict[str, str],
    file: IO[bytes],
    size: int,
    what: str,
) -> sparse.Sparse | None:
    """What an entry says of a sparse file; None: it is none."""
    begin = len(sparse.PREFIX)
    keys = {key[begin:]: extension[key] for key in extension if key.startswith(sparse.PREFIX)}
    if kind == b"S":
        if keys:
            raise ImageError(f"{what} has a sparse file in two forms")
        return sparse.of_block(block, file, size, lambda field: _number(field, what), what)
    return sparse.of_pax(keys, file, size, what) if keys else None


def _entry(
    block: bytes, kind: bytes, extension: dict[str, str], offset: int, size: int, what: str
) -> Entry:
    name = extension.get(_SPARSE_NAME) or extension.get("path") or _text(block[:100])
    if "path" not in extension and block[257:263] == b"ustar\0" and block[345] != 0:
        name = f"{_text(block[345:500])}/{name}"
    target = extension.get("linkpath") or _text(block[157:257])
    if len(name) > _MAX_NAME or len(target) > _MAX_NAME or name.count("/") > _MAX_DEPTH:
        raise ImageError(f"{what} has an entry with a name of {len(name)} characters")
    if "\0" in name or "\0" in target:
        raise ImageError(f"{what} has an entry with NUL in its name")
    words = {b"0": "file", b"\0": "file", b"7": "file", b"2": "link", b"5": "directory"}
    word = words.get(kind, "other")
    return Entry(name, word, target, offset, size)


def _extension(kind: bytes, data: bytes, what: str) -> dict[str, str]:
    """The names and the size that a pax or GNU header gives to the next entry."""
    if kind == b"L":
        return {"path": _text(data)}
    if kind == b"K":
        return {"linkpath": _text(data)}
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at] != 0:
        match = re.match(rb"(\d{1,7}) ([^=]{1,255})=", data[at : at + 300])
        length = int(match[1]) if match else 0
        if match is None or length <= match.end() or at + length > len(data):
            raise ImageError(f"{what} has a malformed pax header")
        key = match[2].decode("utf-8", "replace")
        matters = key in ("path", "linkpath", "size") or key.startswith(sparse.PREFIX)
        if kind == b"g" and matters:
            raise ImageError(f'{what} has a global pax header for "{key}"')
        if matters:
            value = data[at + match.end() : at + length - 1]
            found[key] = value.decode("utf-8", "surrogateescape")
        at += length
    return found


def _pax_size(written: str, what: str) -> int:
    if not re.fullmatch(r"\d{1,15}", written):
        raise ImageError(f"{what} has a malformed pax header")
    return int(written)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str) -> int:
    """Octal digits or, for larger numbers, GNU's base-256."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    else:
        digits = field.strip(b" \0")
        if not re.fullmatch(rb"[0-7]*", digits):
            raise ImageError(f"{what} has a malformed header")
        value = int(digits or b"0", 8)
    if value >= 1 << 50:
        raise ImageError(f"{what} has an entry of {value} bytes")
    return value


def is_header(block: bytes) -> bool:
    """Whether this is the first block of a tar archive."""
    return len(block) == BLOCK and block != bytes(BLOCK) and _checksum_holds(block)


def _checksum_holds(block: bytes) -> bool:
    written = block[148:156].strip(b" \0")
    if not re.fullmatch(rb"[0-7]+", written):
        return False
    return int(written, 8) == sum(block) - sum(block[148:156]) + 8 * 0x20
