"""Checks an untrusted tar file before anything else reads it.

Only headers are read and nothing is trusted: sizes, counts, name lengths and extension headers
are bounded; kinds of entries that container images do not use are refused. What passes is safe for
:meth:`branchpoint.guest.tree.Tree.apply_tar`.

That holds only as long as Python's :mod:`tarfile`, which reads it there, finds the same headers at
the same places. So what programs read in different ways is refused.
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
_MAX_RUN = 16  # extension headers before one entry; tarfile calls itself for each
_ALLOWED = b"0\x007123456S"
_EXTENSIONS = b"xgLK"
_SPARSE_NAME = f"{sparse.PREFIX}name"
_NAMES = ("path", _SPARSE_NAME)
_NUMBERS = ((100, 108), (108, 116), (116, 124), (136, 148), (329, 337), (337, 345))


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
    kinds = b""  # of the extension headers that came for the next entry
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
        if not all(_is_number(block[begin:stop]) for begin, stop in _NUMBERS):
            raise ImageError(f"{what} has a malformed header")  # tarfile would end there
        if kind in _EXTENSIONS:
            if size > _MAX_EXTENSION:
                raise ImageError(f"{what} has a header of {size} bytes")
            found = _extension(kind, _padded(file, size, what), what)
            if _clash(kind, found, kinds, extension):  # which one counts depends on who reads it
                raise ImageError(f"{what} has an entry with two headers")
            kinds += kind
            if len(kinds) > _MAX_RUN:
                raise ImageError(f"{what} has an entry with more than {_MAX_RUN} headers")
            extension |= found
        elif kind not in _ALLOWED:
            raise ImageError(f"{what} has an entry of the unknown type {kind!r}")
        else:
            if "size" in extension:
                size = _pax_size(extension["size"], what)
            if kind == b"\0" and size and _text(block[:100]).endswith("/"):
                raise ImageError(f"{what} has a directory with data")  # for some it is a file
            if kind not in (b"0", b"\0", b"7", b"S"):
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
            extension, kinds = {}, b""
            if len(entries) > MAX_ENTRIES:
                raise ImageError(f"{what} has more than {MAX_ENTRIES} entries")
        at += BLOCK + (size + BLOCK - 1) // BLOCK * BLOCK
        if at > end + BLOCK:
            raise ImageError(f"{what} is cut off")


def _padded(file: IO[bytes], size: int, what: str) -> bytes:
    """The content of an extension header; tarfile takes the rest of its last block for a part."""
    data = file.read((size + BLOCK - 1) // BLOCK * BLOCK)
    if len(data) < size:
        raise ImageError(f"{what} is cut off")
    if data[size:].strip(b"\0"):
        raise ImageError(f"{what} has something between a header and the next")
    return data[:size]


def _clash(kind: bytes, found: dict[str, str], kinds: bytes, extension: dict[str, str]) -> bool:
    """Whether an extension header says again what one for the same entry has said."""
    if kind == b"x" and kind in kinds:
        return True
    told, before = (
        {"path" if key == _SPARSE_NAME else key for key in each} for each in (found, extension)
    )
    return bool(told & before)


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
    if keys and "size" in extension:  # tarfile then looks for the next header elsewhere
        raise ImageError(f"{what} has a sparse file in two forms")
    return sparse.of_pax(keys, file, size, what) if keys else None


def _entry(
    block: bytes, kind: bytes, extension: dict[str, str], offset: int, size: int, what: str
) -> Entry:
    name = _text(block[:100])
    folder = kind == b"5" or (kind == b"\0" and name.endswith("/"))
    given = [key for key in extension if key in _NAMES]
    if given:
        name = extension[given[-1]]  # as tarfile does
    elif block[345] and kind != b"S":
        if block[257:263] != b"ustar\0":
            raise ImageError(f"{what} has a name in a form that is not in use any more")
        name = f"{_text(block[345:500])}/{name}"
    target = extension.get("linkpath", _text(block[157:257]))
    if len(name) > _MAX_NAME or len(target) > _MAX_NAME or name.count("/") > _MAX_DEPTH:
        raise ImageError(f"{what} has an entry with a name of {len(name)} characters")
    if "\0" in name or "\0" in target:
        raise ImageError(f"{what} has an entry with NUL in its name")
    words = {b"0": "file", b"\0": "file", b"7": "file", b"2": "link"}
    word = "directory" if folder else words.get(kind, "other")
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
    if not re.fullmatch(r"[0-9]{1,15}", written):
        raise ImageError(f"{what} has a malformed pax header")
    return int(written)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, what: str) -> int:
    """Octal digits or, for larger numbers, GNU's base-256."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    elif _is_number(field) and field[0] != 0xFF:  # that one is negative
        value = int(_digits(field) or b"0", 8)
    else:
        raise ImageError(f"{what} has a malformed header")
    if value >= 1 << 50:
        raise ImageError(f"{what} has an entry of {value} bytes")
    return value


def _is_number(field: bytes) -> bool:
    return field[0] in (0x80, 0xFF) or re.fullmatch(rb"[0-7]*", _digits(field)) is not None


def _digits(field: bytes) -> bytes:
    """What tarfile takes for the digits: all before the first NUL."""
    return field.split(b"\0", 1)[0].strip(b" ")


def is_header(block: bytes) -> bool:
    """Whether this is the first block of a tar archive."""
    return len(block) == BLOCK and block != bytes(BLOCK) and _checksum_holds(block)


def _checksum_holds(block: bytes) -> bool:
    written = _digits(block[148:156])
    if not re.fullmatch(rb"[0-7]+", written):
        return False
    return int(written, 8) == sum(block) - sum(block[148:156]) + 8 * 0x20
