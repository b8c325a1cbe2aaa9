"""Decodes untrusted bytes.

All files, archives and messages are decoded here. Libraries report bad input in many ways; msgspec
alone has three kinds of errors: for a wrong type, for a byte that is not UTF-8, for lists that are
nested too deeply. A caller that forgets one of them shows a traceback for one bad byte. Here every
such error is a :class:`Malformed`, and no result grows beyond its limit.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

_ZSTD, _GZIP, _XZ = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ"
_BZIP2 = tuple(b"BZh%d%b" % (level, block) for level in range(1, 10) for block in (b"1A", b"\x17r"))
_WINDOW = 1 << 27  # bytes that decompression may refer back to, and so keeps in memory
_OVERHEAD = 1 << 24  # bytes that xz needs in addition
_PIECE = 1 << 16  # compressed bytes read at once
_MOST = 1 << 20  # unpacked bytes returned at once


class Malformed(ValueError):
    """Bytes are not what they should be. It says why; the caller adds where they are."""


@contextmanager
def _understood() -> Iterator[None]:
    try:
        yield
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise Malformed(f"byte {error.start} of a text is not UTF-8") from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise Malformed(str(error)) from None


def from_json(data: bytes, kind: Any) -> Any:
    """Decode JSON as a ``kind`` (a type as msgspec takes it).

    :raises Malformed: when it is not JSON, or not of that type.
    """
    with _understood():
        return msgspec.json.decode(data, type=kind)


def from_msgpack(data: bytes, kind: Any) -> Any:
    """Decode MessagePack as a ``kind`` (a type as msgspec takes it).

    :raises Malformed: when it is not MessagePack, or not of that type.
    """
    with _understood():
        return msgspec.msgpack.decode(data, type=kind)


def any_json(data: bytes) -> Any:
    """Decode any JSON, including what only Python's parser accepts: NaN, lone surrogates.

    :raises Malformed: when it is not JSON.
    """
    with _understood():
        return json.loads(data)


def text(data: bytes) -> str:
    """Decode UTF-8 text.

    :raises Malformed: when it is not UTF-8.
    """
    with _understood():
        return data.decode()


def whole(written: str, most: int = 2**63 - 1) -> int | None:
    """The whole number that ``written`` is in decimal digits; None for anything else, and for a
    number above ``most``.

    Python's own ``int`` also accepts digits of other scripts, blanks and underscores, and raises
    an error of its own for thousands of digits.
    """
    if not (written.isascii() and written.isdecimal() and len(written) < 20):
        return None
    number = int(written)
    return number if number <= most else None


def array(data: bytes, kind: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode an array in numpy's own file format.

    :raises Malformed: when it is not an array, or not of this type and shape.
    """
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
        fits = found.dtype == kind and found.shape == shape
    except Exception as error:  # the header is Python, so it can be any
        raise Malformed(f"it is not an array: {error}") from None
    if not fits:
        raise Malformed(f"it is not an array of shape {shape} and type {np.dtype(kind)}")
    return found


# -- compressed bytes


def unpacked_size(data: bytes) -> int:
    """How many bytes a zstd frame claims to hold. Check this before allocating them.

    :raises Malformed: when it does not say, or is not a zstd frame.
    """
    try:
        size = zstandard.get_frame_parameters(data).content_size
    except zstandard.ZstdError as error:
        raise Malformed(str(error)) from None
    if size in (zstandard.CONTENTSIZE_UNKNOWN, zstandard.CONTENTSIZE_ERROR):
        raise Malformed("it does not say how large it is")
    return size


def unpacked(data: bytes, limit: int, with_: zstandard.ZstdDecompressor | None = None) -> bytes:
    """The content of a zstd frame, at most ``limit`` bytes; ``with_`` is a decompressor to use.

    :raises Malformed: when it is larger, or damaged.
    """
    size = unpacked_size(data)
    if size > limit:
        raise Malformed(f"it holds {size} bytes; the limit is {limit}")
    try:
        return (with_ or zstandard.ZstdDecompressor()).decompress(data, max_output_size=limit)
    except zstandard.ZstdError as error:
        raise Malformed(str(error)) from None


@contextmanager
def decompressing() -> Iterator[None]:
    """In this block, errors of the streams below are raised as Malformed."""
    try:
        yield
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the file; what the libraries for gzip and bzip2 say has no number
        raise Malformed(str(error)) from None


class Source(Protocol):
    """What compressed bytes are read from."""

    def read(self, size: int = -1, /) -> bytes: ...


def zstd_stream(source: Source, window: int = _WINDOW) -> Callable[[int], bytes]:
    """A function that reads the content of a zstd stream; ``window`` limits its memory (bytes)."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=window)
    return unpacker.stream_reader(source, read_across_frames=True).read  # type: ignore[arg-type]


def is_compressed(head: bytes) -> bool:
    """Whether a file with this beginning is one that :func:`any_stream` decompresses."""
    return head.startswith((_GZIP, _ZSTD, _XZ, *_BZIP2))


def any_stream(source: Source) -> Callable[[int], bytes]:
    """A function that reads a stream: compressed by gzip, zstd, xz or bzip2, or plain.

    One call returns at most as many bytes as asked for; with xz and bzip2, at most 1 MiB whatever
    is asked.
    """
    peeked = _Peeked(source)
    if peeked.head.startswith(_GZIP):
        return gzip.GzipFile(fileobj=peeked).read  # type: ignore[call-overload]
    if peeked.head.startswith(_ZSTD):
        return zstd_stream(peeked)
    if peeked.head.startswith((_XZ, *_BZIP2)):
        pieces = _streams(peeked, _xz if peeked.head.startswith(_XZ) else bz2.BZ2Decompressor)
        return lambda size: next(pieces, b"")
    return peeked.read


class _Peeked:
    """A stream whose first bytes were read in advance."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self.head = stream.read(6)
        self._pending = self.head

    def read(self, size: int = -1) -> bytes:
        data, self._pending = self._pending, b""
        if size < 0:
            return data + self._stream.read()
        if len(data) > size:
            data, self._pending = data[:size], data[size:]
        return data or self._stream.read(size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    @property
    def closed(self) -> bool:
        return False


def _xz() -> lzma.LZMADecompressor:
    """A header could ask for gigabytes of memory, so memory is limited."""
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, _WINDOW + _OVERHEAD)


def _streams(
    source: _Peeked, begin: Callable[[], lzma.LZMADecompressor | bz2.BZ2Decompressor]
) -> Iterator[bytes]:
    """The content of compressed streams, one after the other."""
    rest = b""
    while rest or (rest := source.read(_PIECE)):
        rest = rest.lstrip(b"\0")  # between streams
        if not rest:
            continue
        unpacker = begin()
        while not unpacker.eof:
            if unpacker.needs_input and not rest:
                rest = source.read(_PIECE)
                if not rest:
                    raise EOFError("it is cut off")
            data, rest = unpacker.decompress(rest, _MOST), b""
            if data:
                yield data
        rest = unpacker.unused_data
