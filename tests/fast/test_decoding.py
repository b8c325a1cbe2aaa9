"""Any bytes: decoding them gives the right value or an error that says what is wrong."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from typing import Annotated, Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from branchpoint import decoding
from branchpoint.decoding import Malformed


class Fact(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    inner: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"name": "\xff"}', "UTF-8"),
        (b'{"\xff": 1}', "UTF-8"),
        (b'{"name": "x", "inner": {"\xc3": 1}}', "UTF-8"),
        (b'{"name": "\\ud800"}', "truncated"),
        (b'{"name": "x", "inner": ' + b'{"x":' * 100_000, "deep"),
        (b"[" * 100_000, "object"),
        (b'{"name": 1}', "str"),
        (b'{"name": "x", "count": -1}', "count"),
        (b'{"name": "x", "count": 1e400}', "range"),
        (b'{"name": "x", "count": ' + b"9" * 5000 + b"}", "range"),
        (b'{"name": "x", "count": NaN}', "malformed"),
        (b'{"name": "x", "other": 1}', "other"),
        (b"", "truncated"),
        (b"\0", "malformed"),
    ],
)
def test_json_that_is_not_what_it_should_be(data: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        decoding.from_json(data, Fact)


@pytest.mark.parametrize("decode", [decoding.from_json, decoding.from_msgpack])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_something_or_malformed(decode: Any, data: bytes) -> None:
    for kind in (Fact, list[str], dict[int, bytes], Any):
        try:
            decode(data, kind)
        except Malformed as problem:
            assert str(problem)


@given(st.binary(max_size=60))
def test_any_bytes_are_json_of_python_or_malformed(data: bytes) -> None:
    for given_ in (data, b'"' + data + b'"', b"[" * 5000 + data):
        try:
            decoding.any_json(given_)
        except Malformed as problem:
            assert str(problem)


def test_text_is_utf8() -> None:
    assert decoding.text("é".encode()) == "é"
    with pytest.raises(Malformed, match="byte 2 of a text is not UTF-8"):
        decoding.text(b"ab\xff")


@pytest.mark.parametrize(
    ("written", "number"),
    [("0", 0), ("007", 7), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("", None),
     ("-1", None), (" 1", None), ("1_0", None), ("²", None), ("٣", None), ("9" * 5000, None)],
)  # fmt: skip
def test_whole_numbers(written: str, number: int | None) -> None:
    assert decoding.whole(written) == number


# -- arrays


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


GOOD = np.arange(32, dtype=np.uint8).reshape(2, 16)


def test_an_array_is_read_back() -> None:
    assert (decoding.array(npy(GOOD), np.uint8, (2, 16)) == GOOD).all()


@pytest.mark.parametrize(
    "data",
    [b"", npy(GOOD)[:-1], npy(GOOD.astype("u2")), npy(GOOD[:1]), npy(np.array([{}])),
     npy(GOOD).replace(b"(2, 16)", b"(2**9,)"), npy(GOOD).replace(b"(2, 16)", b"(9**9,)"),
     npy(GOOD).replace(b"|u1", b"|O8"), npy(GOOD).replace(b"{", b"(")],
)  # fmt: skip
def test_what_is_no_such_array(data: bytes) -> None:
    with pytest.raises(Malformed, match="it is not an array"):
        decoding.array(data, np.uint8, (2, 16))


# -- compressed bytes


def test_a_zstd_frame_is_unpacked_up_to_its_limit() -> None:
    data = zstandard.ZstdCompressor().compress(bytes(1000))
    assert decoding.unpacked_size(data) == 1000
    assert decoding.unpacked(data, 1000) == bytes(1000)
    with pytest.raises(Malformed, match="holds 1000 bytes; the limit is 999"):
        decoding.unpacked(data, 999)


def test_a_zstd_frame_that_does_not_say_its_size_is_refused() -> None:
    data = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(Malformed, match="how large"):
        decoding.unpacked(data, 1 << 20)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_zstd_frame_or_malformed(data: bytes) -> None:
    frame = zstandard.ZstdCompressor().compress(b"some text " * 9)
    for given_ in (data, frame[:-5] + data, frame[:4] + data):
        try:
            assert len(decoding.unpacked(given_, 1000)) <= 1000
        except Malformed as problem:
            assert str(problem)


PACKERS = {
    "nothing": lambda data: data,
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
}


def read(data: bytes) -> bytes:
    """A whole stream, in small pieces."""
    with decoding.decompressing():
        stream = decoding.any_stream(io.BytesIO(data))
        return b"".join(iter(lambda: stream(1000), b""))


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("size", [0, 1, 100, 3 << 20])
def test_streams_are_read_whatever_they_are_packed_with(packer: str, size: int) -> None:
    content = np.random.default_rng(1).integers(0, 9, size, np.uint8).tobytes()
    data = PACKERS[packer](content)
    assert read(data) == content
    assert decoding.is_compressed(data[:6]) is (packer != "nothing")


@pytest.mark.parametrize("packer", ["gzip", "zstd", "xz", "bzip2"])
def test_two_streams_one_after_the_other_are_one(packer: str) -> None:
    pack = PACKERS[packer]
    padding = bytes(4) if packer == "xz" else b""
    assert read(pack(b"one") + padding + pack(b"two")) == b"onetwo"


@pytest.mark.parametrize("packer", ["gzip", "zstd", "xz", "bzip2"])
def test_damaged_streams(packer: str) -> None:
    data = PACKERS[packer](b"some text " * 1000)
    harmed = bytearray(data)
    harmed[len(data) // 2] ^= 0xFF
    for bad in (bytes(harmed), data[: len(data) // 2], data[:8]):
        try:
            read(bad)
        except Malformed as problem:
            assert str(problem)
        else:  # zstd gives no error when a frame is cut off
            assert packer == "zstd"


def test_xz_does_not_get_the_memory_that_it_asks_for() -> None:
    data = bytearray(lzma.compress(b"x"))
    assert data[14:16] == b"\x21\x01"  # in the block's header: LZMA2 with one byte, which follows
    data[16] = 40  # a dictionary of 4 GiB
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    with pytest.raises(Malformed, match=r"[Mm]emory"):
        read(bytes(data))
