"""Damage to bytes and to JSON, as it happens by chance, and as an attacker does it.

All randomness comes from a given ``random.Random``, so that each mutant can be made again.
"""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from blake3 import blake3

Pool = Sequence[bytes]
"""Other files, from which stretches are taken."""

_WORDS = (
    b"\xff", b"\x80\x80", b"\xed\xa0\x80", b"\0", b"../", b"/etc/passwd", b"\xc3", b"\n",
    b"\\ud800", b'"', b"{", b"[[[[", b"9" * 400, b"-1", b"1e999", b"NaN", b"PK\3\4",
    b"\x28\xb5\x2f\xfd",
)  # fmt: skip
_NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x10000,
    2**24,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
_LARGE = (*_NUMBERS, 2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_LONGEST = 2000  # bytes of an inserted stretch

DEEP = "\ue000deep"
"""Stands for a value: it becomes more nested lists than a parser can follow."""
RAW = "\ue001"
"""Stands before hexadecimal digits: these bytes are put there as they are."""


def stretch(data: bytes, chance: Random, longest: int = _LONGEST) -> tuple[int, int]:
    """Start and end of some part of ``data``."""
    start = chance.randrange(len(data) + 1)
    length = min(int(chance.expovariate(1 / 40)) + 1, longest, len(data) - start)
    return start, start + length


def _flip(data: bytearray, chance: Random, pool: Pool) -> None:
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _overwrite(data: bytearray, chance: Random, pool: Pool) -> None:
    start, end = stretch(data, chance)
    kind = chance.choice((b"\0", b"\xff", b"A", None))
    data[start:end] = kind * (end - start) if kind else chance.randbytes(end - start)


def _truncate(data: bytearray, chance: Random, pool: Pool) -> None:
    del data[chance.randrange(len(data) + 1) :]


def _cut(data: bytearray, chance: Random, pool: Pool) -> None:
    start, end = stretch(data, chance)
    del data[start:end]


def _repeat(data: bytearray, chance: Random, pool: Pool) -> None:
    start, end = stretch(data, chance)
    data[start:start] = data[start:end] * chance.choice((1, 1, 2, 50))


def _exchange(data: bytearray, chance: Random, pool: Pool) -> None:
    (a, b), (c, d) = sorted((stretch(data, chance), stretch(data, chance)))
    if b <= c:
        data[a:d] = data[c:d] + data[b:c] + data[a:b]


def _insert(data: bytearray, chance: Random, pool: Pool) -> None:
    at = chance.randrange(len(data) + 1)
    data[at : at + chance.choice((0, 0, 1, 4))] = chance.choice(_WORDS)


def _number(data: bytearray, chance: Random, pool: Pool) -> None:
    form = chance.choice(("<H", "<I", "<Q", ">I", "<I"))
    size = struct.calcsize(form)
    if len(data) >= size:
        at = chance.randrange(len(data) - size + 1)
        at -= chance.choice((0, at % 4))
        struct.pack_into(form, data, at, chance.choice(_LARGE) % 256**size)


def _splice(data: bytearray, chance: Random, pool: Pool) -> None:
    other = chance.choice(pool) if pool else bytes(data)
    begin, end = stretch(other, chance)
    start, stop = stretch(data, chance)
    if chance.random() < 0.2:  # the end of another file
        end, stop = len(other), len(data)
    data[start:stop] = other[begin:end]


_HARMS: tuple[Callable[[bytearray, Random, Pool], None], ...] = (
    _flip, _flip, _overwrite, _truncate, _cut, _repeat, _exchange, _insert, _insert, _number,
    _number, _splice,
)  # fmt: skip


def harmed(data: bytes, chance: Random, pool: Pool = ()) -> bytes:
    """Other bytes, with one kind of damage or a few."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        chance.choice(_HARMS)(found, chance, pool)
    return bytes(found)


def patched(data: bytes, chance: Random, form: struct.Struct, at: int = 0) -> bytes:
    """Change one field of a packed record at ``at`` to another number (or other bytes)."""
    fields = list(form.unpack_from(data, at))
    number = chance.randrange(len(fields))
    old = fields[number]
    if isinstance(old, bytes):
        fields[number] = harmed(old, chance)[: len(old)].ljust(len(old), b"\0")
    else:
        near = (old + 1, old - 1, old * 2, 0)
        fields[number] = chance.choice((*near, *_LARGE, -1, -(2**63)))
    try:
        packed = form.pack(*fields)
    except struct.error:  # more than there is room for
        packed = form.pack(*(f if isinstance(f, bytes) else f & 0xFF for f in fields))
    return data[:at] + packed + data[at + form.size :]


# -- JSON


def _values(chance: Random) -> Any:
    """Something unexpected in this place."""
    return chance.choice((
        None, True, False, 0, -1, 1, 2, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30,
        10**400, 0.5, -0.0, 1e308, float("nan"), float("inf"), "", "0", "x", "x" * 300,
        "x" * 100_000, "\ud800", "\udfff\ud800", "\0", "\n", "\x1b[31m", "\u202e", "../../evil",
        "/evil", "a/b", "..", ".", "-rf", "$(id)", "<b>&", "$x^$", "é" * 70, "\U0001f600" * 30, [],
        {}, [None], [[]], {"": {}}, [0] * 3000, DEEP, RAW + "ff", RAW + "22ff22", RAW + "22c322",
        RAW + "22eda08022", RAW + "7b22ff223a317d",
    ))  # fmt: skip


def _places(value: Any, found: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in items if isinstance(value, dict) else enumerate(value):
        found.append((value, key))
        if isinstance(inner, dict | list):
            _places(inner, found)


def changed(document: Any, chance: Random) -> Any:
    """A copy of parsed JSON in which a value is replaced, missing, or added."""
    found = copy.deepcopy(document)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        places: list[tuple[Any, Any]] = []
        if isinstance(found, dict | list):
            _places(found, places)
        if not places or chance.random() < 0.02:
            return _values(chance)
        holder, key = chance.choice(places)
        if chance.random() < 0.25:  # a value from another place
            other, name = chance.choice(places)
            if type(other[name]) is type(holder[key]) and not isinstance(other[name], dict | list):
                holder[key] = other[name]
                continue
        _change(holder, key, chance)
    return found


def _change(holder: Any, key: Any, chance: Random) -> None:
    old = holder[key]
    what = chance.randrange(8)
    if what < 3:
        holder[key] = _values(chance)
    elif what == 3:
        del holder[key]
    elif what == 4 and isinstance(holder, dict):
        new = chance.choice(("x", "format", "name", "\ud800", RAW + "ff", "x" * 5000))
        holder[new] = chance.choice((old, _values(chance)))
    elif what == 4:
        holder.insert(key, copy.deepcopy(old))
    elif what == 5 and isinstance(holder, list):
        chance.choice((holder.reverse, lambda: holder.extend(holder * 20), holder.clear))()
    elif isinstance(old, bool) or old is None:
        holder[key] = not old
    elif isinstance(old, int):
        other = chance.choice([*_LARGE, old + 1, old - 1, -old, old * 1000, old // 3])
        holder[key] = other
    elif isinstance(old, bytes):
        holder[key] = harmed(old, chance)
    elif isinstance(old, str):
        holder[key] = harmed_text(old, chance)
    else:
        holder[key] = _values(chance)


def harmed_text(text: str, chance: Random) -> str:
    """Other text, which can always be written as UTF-8 or as JSON escapes."""
    data = harmed(text.encode("utf-8", "surrogatepass"), chance)
    return data.decode("utf-8", chance.choice(("replace", "surrogateescape")))


def changed_json(data: bytes, chance: Random, pool: Pool = ()) -> bytes:
    """JSON in which a value is changed; bytes that are no longer JSON are damaged instead."""
    try:
        return written(changed(json.loads(data), chance))
    except (ValueError, RecursionError):
        return harmed(data, chance, pool)


def written(document: Any) -> bytes:
    """JSON as bytes; placeholders for what JSON cannot express are replaced."""
    text = json.dumps(document, indent=1)
    deep = '"' + DEEP.encode("unicode_escape").decode() + '"'
    if deep in text:
        text = text.replace(deep, "[" * 30_000 + "]" * 30_000)
    parts = text.split('"\\ue001')
    out = [parts[0].encode()]
    for part in parts[1:]:
        digits, _, rest = part.partition('"')
        try:
            out.append(bytes.fromhex(digits) + rest.encode())
        except ValueError:
            out.append(f'"{digits}"{rest}'.encode())
    return b"".join(out)


def sealed(name: str, document: Any, whole: bool = True) -> bytes:
    """A file with a correct digest for any content (see :mod:`branchpoint.store.sealed`)."""
    rest = f'",\n"{name}": '.encode() + written(document) + b"}\n"
    digest = blake3(rest).hexdigest() if whole else "0" * 64
    return b'{"blake3": "' + digest.encode() + rest
