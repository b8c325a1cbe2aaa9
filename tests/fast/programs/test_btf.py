"""Types of a kernel: read from an image that is made here, byte by byte."""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable

import pytest
import zstandard

from branchpoint.errors import ImageError
from branchpoint.programs.btf import Types

STRUCT, UNION, TYPEDEF, INT, ARRAY = 4, 5, 8, 1, 3
NAMES = b"\0task\0pid\0se\0entity\0start\0left\0right\0flag\0loop\0\0"


def name(text: str) -> int:
    return NAMES.index(b"\0" + text.encode() + b"\0") + 1 if text else 0


def kind(label: str, number: int, count: int, other: int, bitfields: bool = False) -> bytes:
    info = number << 24 | count | (1 << 31 if bitfields else 0)
    return struct.pack("<III", name(label), info, other)


def member(label: str, number: int, bits: int) -> bytes:
    return struct.pack("<III", name(label), number, bits)


def section() -> bytes:
    types = b"".join(
        (
            kind("", INT, 0, 4) + struct.pack("<I", 32),  # 1
            kind("", ARRAY, 0, 0) + struct.pack("<III", 1, 1, 4),  # 2
            kind("entity", STRUCT, 2, 24) + member("", 2, 0) + member("start", 1, 128),  # 3
            kind("", TYPEDEF, 0, 3),  # 4: the same
            kind("", UNION, 2, 4) + member("left", 1, 0) + member("right", 1, 0),  # 5
            kind("task", STRUCT, 4, 64, bitfields=True)
            + member("pid", 1, 64 | 32 << 24)
            + member("se", 4, 256)
            + member("", 5, 512)
            + member("flag", 1, 515 | 1 << 24),  # 6
            kind("", TYPEDEF, 0, 7),  # 7: itself
            kind("loop", STRUCT, 3, 8)
            + member("", 8, 0)
            + member("pid", 7, 0)
            + member("se", 99, 0),  # 8
        )
    )
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(NAMES)) + (
        types + NAMES
    )


def elf(content: bytes) -> bytes:
    """The least ELF file with that in its section .BTF."""
    labels = b"\0.BTF\0.shstrtab\0"
    at = 64 + len(content)
    table = at + len(labels)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, table, 0, 64, 0, 0, 64, 3, 2)

    def entry(label: int, kind: int, offset: int, size: int) -> bytes:
        return struct.pack("<IIQQQQIIQQ", label, kind, 0, 0, offset, size, 0, 0, 1, 0)

    sections = bytes(64) + entry(1, 1, 64, len(content)) + entry(6, 3, at, len(labels))
    return head + content + labels + sections


def image(payload: bytes) -> bytes:
    """A file that boots, as far as the payload is found in it."""
    data = bytearray(1024)
    data[0x1F1] = 1
    struct.pack_into("<II", data, 0x248, 16, len(payload) + 4)
    return bytes(data) + bytes(16) + payload + b"size"


@pytest.mark.parametrize("compress", [zstandard.compress, lzma.compress])
def test_fields_lie_where_the_kernel_says(compress: Callable[[bytes], bytes]) -> None:
    types = Types(image(compress(elf(section()))))
    assert types.offset("task.pid") == 8
    assert types.offset("task.se") == 32
    assert types.offset("task.se.start") == 48  # by another name of its type
    assert types.offset("task.right") == 64  # in a part without a name


@pytest.mark.parametrize(
    "path",
    [
        "task.nothing",
        "nothing.pid",
        "task.pid.more",
        "task.flag",
        "loop.start",
        "loop.pid.left",
        "loop.se.left",
    ],
)
def test_what_is_not_there_is_said(path: str) -> None:
    with pytest.raises(ImageError, match=path):
        Types(image(zstandard.compress(elf(section())))).offset(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(2000),
        image(b"neither of them"),
        image(zstandard.compress(b"no program")),
        image(zstandard.compress(elf(b"\x9f\xeb"))),
        image(zstandard.compress(elf(section()[:60]))),
        image(zstandard.compress(elf(b"\0" + section()))),
    ],
)
def test_damage_is_an_error_in_words(data: bytes) -> None:
    with pytest.raises(ImageError, match="types cannot be read"):
        Types(data)
