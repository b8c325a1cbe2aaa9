"""What the scan of a tar file lets pass, Python's library reads in the same way."""

from __future__ import annotations

import io
import random
import tarfile
import zlib

import pytest
from imagefiles import header

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree
from branchpoint.system.images import tarscan

SEEDS = 6000
_FIELDS = [(0, 100), (100, 108), (124, 136), (156, 157), (157, 257), (257, 265), (345, 500)]
_FIELDS += [(136, 148), (329, 337), (386, 410), (410, 434), (482, 483), (483, 495)]
_PIECES = [b"%c" % byte for byte in b"\0/017 \x80\xffSx9gLK"]
_RECORDS = [b"path=a/b", b"path=c/", b"path=", b"linkpath=d", b"size=512", b"size=0", b"uid=1",
            b"mtime=1.5", b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.name=s",
            b"GNU.sparse.realsize=4096", b"GNU.sparse.size=9", b"hdrcharset=BINARY",
            b"hdrcharset=\xff", b"SCHILY.xattr.user.x=\xff"]  # fmt: skip


def _summed(block: bytes) -> bytes:
    """The block with the right checksum."""
    blank = block[:148] + b" " * 8 + block[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(text: bytes) -> bytes:
    """One record of a pax header."""
    length = len(text) + 3
    length += len(b"%d" % length) - 1
    return b"%d %s\n" % (length, text)


def extended(text: bytes, kind: bytes = b"x") -> bytes:
    """A header with this content for the next entry."""
    return header(b"pax", kind, len(text)) + _padded(text)


def entry(name: bytes, kind: bytes = b"0", data: bytes = b"") -> bytes:
    return header(name, kind, len(data)) + _padded(data)


HIDDEN = entry(b"hidden", data=b"h")


def scanned(data: bytes) -> list[tuple[str, str]]:
    return [(_plain(e.name), e.target) for e in tarscan.scan(io.BytesIO(data), "it", 1 << 30)]


def listed(data: bytes) -> list[tuple[str, str]]:
    """As :meth:`Tree.apply_tar` sees it."""
    with tarfile.open(
        fileobj=io.BytesIO(data), mode="r|", encoding="utf-8", errors="surrogateescape"
    ) as tar:
        return [(_plain(member.name), member.linkname) for member in tar]


def _plain(name: str) -> str:
    return name.rstrip("/")


def test_a_layer_that_is_a_tar_and_a_gzip_is_read_as_the_tar() -> None:
    """What a gzip header has for a file's name ends at the first NUL, after the tar's header."""
    inner = entry(b"escaped", data=b"e") + bytes(1024)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = packer.compress(inner) + packer.flush()
    trailer = zlib.crc32(inner).to_bytes(4, "little") + len(inner).to_bytes(4, "little")
    first = bytearray(header(b"x", b"0", 0).replace(b"\0", b" "))
    first[:10] = b"\x1f\x8b\x08\x08    \x01\x03"
    first[156:157], first[257:265] = b"0", b"ustar  0"
    content = b"\0" + body + trailer
    first[124:136] = b"%011o " % len(content)
    first[148:156] = b" " * 8
    first[148:156] = b"%07o " % sum(first)
    data = bytes(first) + _padded(content) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data), mode="r|*") as tar:
        assert tar.getnames() == ["escaped"], "it is both"
    tree = Tree()
    assert len(tree.apply_tar(io.BytesIO(data), layer=True)) == 1
    assert "escaped" not in tree


def test_a_packed_stream_is_no_tar() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = packer.compress(entry(b"a") + bytes(1024)) + packer.flush()
    with pytest.raises(ImageError, match="cannot read a tar archive"):
        Tree().apply_tar(io.BytesIO(data))


def test_a_hard_link_has_no_data_whatever_it_says() -> None:
    data = entry(b"a", data=b"a") + header(b"l", b"1", 512) + HIDDEN + bytes(1024)
    assert [name for name, _ in scanned(data)] == ["a", "l", "hidden"]
    assert scanned(data) == listed(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (header(b"folder/", b"\0", 512) + HIDDEN, "a directory with data"),
        (extended(record(b"size=512")) + header(b"d/", b"\0", 0) + HIDDEN, "directory with data"),
        (header(b"p", b"x", 12) + (record(b"path=abc") + record(b"size=512")).ljust(512, b"\0")
         + entry(b"f") + HIDDEN, "something between"),
        (header(b"p", b"L", 3) + b"abcdef".ljust(512, b"\0") + entry(b"f"), "something between"),
        (extended(record(b"size=512")) + extended(record(b"size=0")) + entry(b"f") + HIDDEN,
         "two headers"),
        (extended(b"long\0", b"L") + extended(record(b"path=other")) + entry(b"f"), "two headers"),
        (extended(record(b"GNU.sparse.name=s")) + extended(b"long\0", b"L") + entry(b"f"),
         "two headers"),
        (extended(record(b"a=b"), b"g") * 1000 + entry(b"f"), "more than 16 headers"),
        (extended(record(b"GNU.sparse.major=1") + record(b"GNU.sparse.minor=0")
                  + record(b"GNU.sparse.realsize=9") + record(b"size=512"))
         + entry(b"f", data=b"0\n".ljust(512, b"\0")), "in two forms"),
        (_summed(header(b"f", b"0", 0)[:100] + b"nothing\0" + header(b"f", b"0", 0)[108:]),
         "malformed header"),
        (_summed(header(b"f", b"0", 0)[:257] + b"ustar  \0" + bytes(80) + b"14000000000\0"
                 + header(b"f", b"0", 0)[357:]), "a name in a form"),
        (_summed(header(b"f", b"S", 0)[:410] + b"00000000000 00000000001 "
                 + header(b"f", b"S", 0)[434:]), "map is malformed"),
    ],
)  # fmt: skip
def test_what_readers_disagree_on_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        scanned(data + bytes(1024))


def test_a_size_after_nul_is_none() -> None:
    block = header(b"f", b"0", 0)
    data = _summed(block[:124] + b"\0" + b"0000001000\0" + block[136:]) + HIDDEN + bytes(1024)
    assert scanned(data) == listed(data) == [("f", ""), ("hidden", "")]


def _mutated(choose: random.Random) -> bytes:
    """Some entries that are nearly right."""
    data = b""
    for _ in range(choose.randint(1, 4)):
        for _ in range(choose.choice([0, 0, 1, 1, 2])):
            kind = choose.choice([b"x", b"x", b"x", b"L", b"K", b"g"])
            text = b"".join(map(record, choose.sample(_RECORDS, choose.randint(1, 4))))
            text = text if kind in b"xg" else choose.choice([b"long/name\0", b"z", b"q\0w"])
            block = header(b"e", kind, len(text) - choose.choice([0, 0, 0, 0, 1, len(text) // 2]))
            data += block + _padded(text)
        content = choose.choice([b"", b"d" * 700, b"0\n".ljust(512, b"\0"), HIDDEN])
        name = choose.choice([b"file", b"folder/", b"a/b", b"n" * 100])
        block = bytearray(header(name, choose.choice([b"%c" % k for k in tarscan._ALLOWED]),
                                 len(content)))  # fmt: skip
        if choose.random() < 0.5:
            begin, end = choose.choice(_FIELDS)
            at = choose.choice([begin, begin, choose.randrange(begin, end)])
            piece = choose.choice(_PIECES)
            block[at : at + len(piece)] = piece
        data += _summed(bytes(block)) + _padded(content)
    return data + entry(b"last") + bytes(1024)


def test_the_scan_and_the_library_see_the_same_entries() -> None:
    passed = 0
    for seed in range(SEEDS):
        data = _mutated(random.Random(seed))
        try:
            seen = scanned(data)
        except ImageError:
            continue
        passed += 1
        try:
            found = listed(data)
        except (tarfile.TarError, ValueError):  # apply_tar refuses it
            continue
        assert found == seen, f"seed {seed}"
    assert passed > SEEDS // 20, "the archives are nearly right"
