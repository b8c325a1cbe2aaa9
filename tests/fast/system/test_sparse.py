"""Sparse files in the layers of images: as GNU tar writes them, and as strangers might."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pytest
from imagefiles import TestImage, header

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.images import archive, sparse, tarscan


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))


def contents(path: Path) -> Tree:
    with archive.open_archive(path) as image:
        return image.unpack()


SIZE = 40 << 10


def hollow(tmp_path: Path, form: str, size: int = SIZE) -> tuple[bytes, bytes]:
    """A layer with a file that GNU tar writes as sparse, and what the file has."""
    folder = tmp_path / f"{form}-{size}"
    folder.mkdir()
    with (folder / "file").open("wb") as file:
        for offset in range(4096, size, 8192):
            file.seek(offset)
            file.write(bytes([offset >> 12 & 0xFF or 1]) * 4096)
        file.truncate(size)
    (folder / "next").write_bytes(b"n" * 700)
    command = ["tar", f"--format={form}", "--sparse", "-C", folder, "-cf", "-", "file", "next"]
    made = subprocess.run(command, check=True, capture_output=True).stdout
    return made, (folder / "file").read_bytes()


@pytest.mark.parametrize("form", ["gnu", "posix"])
@pytest.mark.parametrize("size", [SIZE, 20 * SIZE, 5000])
def test_sparse_files(tmp_path: Path, form: str, size: int) -> None:
    data, content = hollow(tmp_path, form, size)
    assert len(data) < size or size == 5000
    tree = contents(TestImage([data]).docker(tmp_path / "i"))
    assert tree.read("file") == content
    assert tree.read("next") == b"n" * 700


@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_sparse_files_count_with_their_holes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    data, _ = hollow(tmp_path, form, 20 * SIZE)
    path = TestImage([data]).docker(tmp_path / "i")
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", len(data) + 20 * SIZE)
    contents(path)
    monkeypatch.setattr(archive, "MAX_IMAGE_BYTES", len(data) + 20 * SIZE - 1)
    with pytest.raises(ImageError, match="has sparse files that are too large"):
        contents(path)


def old_gnu(*parts: tuple[int, int], size: int, data: int) -> bytes:
    """A header of GNU's form with this map."""
    block = bytearray(header(b"f", b"S", data))
    for number, (offset, length) in enumerate(parts):
        block[386 + 24 * number : 410 + 24 * number] = b"%011o %011o " % (offset, length)
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(-(-data // 512) * 512)


def pax(keys: dict[str, str], data: bytes) -> bytes:
    """An entry with these keys of a pax header."""
    records = b""
    for key, value in keys.items():
        rest = f" GNU.sparse.{key}={value}\n".encode()
        length = len(rest) + 2 + (len(rest) > 97)
        records += b"%d" % length + rest
    padded = data.ljust(-(-len(data) // 512) * 512, b"\0")
    records_padded = records.ljust(-(-len(records) // 512) * 512, b"\0")
    return (
        header(b"f", b"x", len(records)) + records_padded + header(b"f", b"0", len(data)) + padded
    )


LARGE = {"major": "1", "minor": "0", "realsize": "9" * 15}
ONE_ZERO = {"major": "1", "minor": "0", "realsize": "4096"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (old_gnu((512, 512), (0, 512), size=4096, data=1024), "map is malformed"),
        (old_gnu((0, 1024), (512, 512), size=4096, data=1536), "map is malformed"),
        (old_gnu((3800, 512), size=4096, data=512), "map is malformed"),
        (old_gnu((0, 512), size=4096, data=1024), "map is malformed"),
        (old_gnu((0, 512), size=1 << 40, data=512), "too large"),
        (pax(ONE_ZERO, b"1\n0\n4\n".ljust(512, b"\0") + b"data!"), "map is malformed"),
        (pax(ONE_ZERO, b"9\n0\n4\n".ljust(512, b"\0") + b"data"), "map is malformed"),
        (pax(ONE_ZERO, b"1\n0\nx\n".ljust(512, b"\0") + b"data"), "map is malformed"),
        (pax(ONE_ZERO, b"1" * 600), "map is malformed"),
        (pax(ONE_ZERO, b"99999999\n".ljust(512, b"\0")), "more than 65536 parts"),
        (pax({**ONE_ZERO, "realsize": "9" * 14}, b"0\n".ljust(512, b"\0")), "too large"),
        (pax({**ONE_ZERO, "realsize": "-1"}, b"0\n".ljust(512, b"\0")), "not in use any more"),
        (pax({"map": "0,4", "size": "9"}, b"data"), "not in use any more"),
        (pax({**ONE_ZERO, "size": "9" * 15}, b"0\n".ljust(512, b"\0")), "not in use any more"),
        (pax({**ONE_ZERO, "map": "a,b"}, b"0\n".ljust(512, b"\0")), "not in use any more"),
        (pax(LARGE, b"0\n")[:1024] + pax(ONE_ZERO, b"0\n".ljust(512, b"\0")), "two headers"),
        (pax(LARGE, b"")[:1024] + old_gnu((0, 4), size=9, data=4), "in two forms"),
    ],
)
def test_maps_of_strangers(data: bytes, message: str) -> None:
    follows = header(b"next", b"0", 0)
    with pytest.raises(ImageError, match=message):
        tarscan.scan(io.BytesIO(data + follows), "it", 1 << 30)


def test_the_parts_of_all_files_are_bounded() -> None:
    """Python's library takes time for each part, in each piece that it reads."""
    parts = b"".join(b"%d\n0\n" % offset for offset in range(sparse.MOST))
    table = b"%d\n" % sparse.MOST + parts
    entry = pax({**ONE_ZERO, "realsize": "65536"}, table.ljust(-(-len(table) // 512) * 512, b"\0"))
    tarscan.scan(io.BytesIO(entry), "it", 1 << 30)
    with pytest.raises(ImageError, match="has sparse files that are too large"):
        tarscan.scan(io.BytesIO(entry + pax(ONE_ZERO, b"1\n0\n0\n".ljust(512))), "it", 1 << 30)
