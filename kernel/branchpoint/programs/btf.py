"""Where the fields of the kernel's structures are, from the type information in the kernel itself.

Debian's kernels carry it as BTF (Documentation/bpf/btf.rst of Linux), in a section of the kernel
that lies compressed in the file from which it boots.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from branchpoint.decoding import Malformed, any_stream, decompressing
from branchpoint.errors import ImageError

_MAGIC = 0xEB9F
_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")
_MEMBER = struct.Struct("<III")
_STRUCT, _UNION = 4, 5
_ALIASES = {8, 9, 10, 11, 18}  # typedef, volatile, const, restrict, a tag: another type, in fact
# Kind -> bytes behind a type: so many, and so many for each of those that it counts.
_BEHIND = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0),
           15: (0, 12), 17: (4, 0), 19: (0, 12)}  # fmt: skip
_LARGEST = 1 << 28  # bytes of a kernel
_PIECE = 1 << 20  # ... that are decompressed at once
_DEEPEST = 16  # names for one type, or parts within parts
_DAMAGE = (struct.error, ValueError, IndexError)


class _Type(NamedTuple):
    name: str
    kind: int
    bitfields: bool
    other: int
    """The type that it stands for, if it stands for one."""
    members: list[tuple[str, int, int]]
    """Of a structure: the name of each, its type, and its place in bits."""


_NOTHING = _Type("", 0, False, 0, [])


class Types:
    """The types of one kernel."""

    def __init__(self, image: bytes) -> None:
        """``image`` is the file that boots.

        :raises ImageError: when it holds no type information that can be read.
        """
        try:
            self._types = list(_types(_section(image)))
        except (*_DAMAGE, ELFError, Malformed) as error:
            raise ImageError(f"the kernel's types cannot be read: {error}") from None
        self._structures = {t.name: t for t in self._types if t.kind == _STRUCT and t.name}

    def offset(self, path: str) -> int:
        """Bytes from the beginning of a structure to a field in it: ``task_struct.se.exec_start``.

        :raises ImageError: when there is no such field, or it does not begin with a whole byte.
        """
        first, *names = path.split(".")
        found, bits = self._structures.get(first), 0
        for name in names:
            place = self._member(found, name, _DEEPEST) if found else None
            if place is None:
                raise ImageError(f"the kernel has no field {path}")
            bits, found = bits + place[0], place[1]
        if bits % 8:
            raise ImageError(f"the kernel's {path} is no whole byte")
        return bits // 8

    def _member(self, structure: _Type, wanted: str, deep: int) -> tuple[int, _Type] | None:
        """The place of a member in bits, and its type; also of one in a part without a name."""
        for name, number, bits in structure.members:
            member = self._real(number)
            if name == wanted:
                return bits, member
            if not name and deep and (inner := self._member(member, wanted, deep - 1)):
                return bits + inner[0], inner[1]
        return None

    def _real(self, number: int) -> _Type:
        """The type itself, of one that may only be another name for it."""
        for _ in range(_DEEPEST):
            if not 0 < number < len(self._types):
                break
            found = self._types[number]
            if found.kind not in _ALIASES:
                return found
            number = found.other
        return _NOTHING


def _section(image: bytes) -> bytes:
    """The kernel's section of types. See Documentation/arch/x86/boot.rst of Linux."""
    start = (image[0x1F1] or 4) * 512 + 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset :][: length - 4]  # behind it is its size
    kernel = bytearray()
    with decompressing():
        read = any_stream(io.BytesIO(payload))
        while len(kernel) < _LARGEST and (piece := read(_PIECE)):
            kernel += piece
    section = ELFFile(io.BytesIO(kernel)).get_section_by_name(".BTF")
    if section is None:
        raise ValueError("there are none")
    data: bytes = section.data()
    return data


def _types(data: bytes) -> Iterator[_Type]:
    """All types, in the order of their numbers, of which 0 is none."""
    magic, _, _, header, start, length, strings, _ = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise ValueError("they are not in the known form")

    def name(place: int) -> str:
        at = header + strings + place
        return data[at : data.index(b"\0", at)].decode("ascii", "replace")

    yield _NOTHING
    at, end = header + start, header + start + length
    while at < end:
        label, info, other = _TYPE.unpack_from(data, at)
        at += _TYPE.size
        kind, count, bitfields = info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31)
        members = []
        if kind in (_STRUCT, _UNION):
            for each in range(count):
                member, number, bits = _MEMBER.unpack_from(data, at + each * _MEMBER.size)
                members.append((name(member), number, bits & 0xFFFFFF if bitfields else bits))
        yield _Type(name(label), kind, bitfields, other, members)
        fixed, repeated = _BEHIND.get(kind, (0, 0))
        at += fixed + repeated * count
