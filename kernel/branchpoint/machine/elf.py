"""The dynamic symbols of an ELF file, enough to tell whether a plugin will find what it needs."""

from __future__ import annotations

import struct
from pathlib import Path

_SHT_DYNSYM = 11
_SYMBOL = struct.Struct("<IBBHQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")


def dynamic_symbols(path: Path) -> tuple[set[str], set[str]]:
    """Names that the 64-bit little-endian ELF file at ``path`` (defines, needs).

    Raises ValueError when it is not such a file.
    """
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
    (offset,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [_SECTION.unpack_from(data, offset + i * size) for i in range(count)]
    defined: set[str] = set()
    needed: set[str] = set()
    for section in sections:
        if section[1] != _SHT_DYNSYM:
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], _SYMBOL.size):
            name, _info, _other, index, _value, _length = _SYMBOL.unpack_from(data, at)
            end = data.index(b"\0", names + name)
            (defined if index else needed).add(data[names + name : end].decode())
    return defined - {""}, needed - {""}
