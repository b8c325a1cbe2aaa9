"""Mutants of container images: docker-archives, and OCI layouts as folders and as archives."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import zstandard

from mutants.harm import changed, harmed, written

_BLOCK = 512
_FIELDS = {
    "name": (0, 100), "mode": (100, 8), "uid": (108, 8), "gid": (116, 8), "size": (124, 12),
    "mtime": (136, 12), "kind": (156, 1), "target": (157, 100), "magic": (257, 8),
    "major": (329, 8), "minor": (337, 8), "prefix": (345, 155),
}  # fmt: skip
_PATHS = (b"../../evil", b"/evil", b"a/../../evil", b"./", b".", b"..", b"", b"\xff\xfe", b"a//b",
          b".wh..wh..opq", b"etc/.wh.passwd", b".wh.", b"etc/passwd/x", b"bin", b"x" * 100,
          b"manifest.json", b"config.json", b"index.json", b"d/" * 50)  # fmt: skip
_NUMBERS = (b"", b"0", b"77777777777", b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-1", b"9", b"0x1",
            b"\x80\0\0\0\0\0\0\0\x7f\xff\xff\xff", b"1 2", b"\0", b"00000001000")  # fmt: skip
_RECORDS = (b"mtime=nan", b"mtime=inf", b"mtime=-1", b"mtime=1e400", b"mtime=99999999999999999999",
            b"uid=" + b"9" * 30, b"uid=-5", b"gid=x", b"size=0", b"size=99999999", b"size=-1",
            b"path=../../evil", b"path=/evil", b"path=" + b"d/" * 150 + b"x", b"path=\xff\xfe",
            b"path=a\0b", b"path=", b"linkpath=/etc/shadow", b"linkpath=" + b"l/" * 900,
            b"hdrcharset=BINARY", b"comment=" + b"c" * 5000, b"GNU.sparse.major=1", b"atime=x",
            b"SCHILY.xattr.user.x=\xff\0\xfe", b"SCHILY.xattr.=", b"uname=" + b"u" * 400,
            b"SCHILY.xattr." + b"k" * 300 + b"=v")  # fmt: skip
_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, 1, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
    "xz": lambda data: lzma.compress(data, preset=0),
}


@dataclass(frozen=True)
class Image:
    """A valid image."""

    layers: tuple[bytes, ...]
    config: dict[str, Any]
    """The configuration without the digests of the layers."""


def mutant(image: Image, chance: Random, folder: Path, outside: Path) -> str:
    """Write a mutant into ``folder``; returns how a compose file there refers to it."""
    layers = list(image.layers)
    if chance.random() < 0.45:
        number = chance.randrange(len(layers))
        layers[number] = _layer(layers[number], chance)
    config = copy.deepcopy(image.config)
    config["rootfs"] = {"type": "layers", "diff_ids": [f"sha256:{_sha(one)}" for one in layers]}
    data = written(config)
    what = chance.randrange(8)
    if what == 0:
        data = written(changed(config, chance))
    elif what == 1:
        data = harmed(data, chance)
    make = chance.choice((_docker, _oci_folder, _oci_archive))
    return make(layers, data, what, chance, folder, outside)


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(document: Any, harm: bool, chance: Random) -> bytes:
    if not harm:
        return json.dumps(document).encode()
    data = written(changed(document, chance))
    return harmed(data, chance) if chance.random() < 0.2 else data


def _packed(data: bytes, chance: Random) -> bytes:
    packed = _PACKERS[chance.choice(list(_PACKERS))](data)
    if chance.random() < 0.06:
        return harmed(packed, chance)
    if chance.random() < 0.02:  # large when unpacked
        bomb = zstandard.ZstdCompressor(level=1).compress(bytes(64 << 20))
        return bomb * chance.choice((1, 4))
    return packed


# -- the three forms


def _docker(
    layers: list[bytes], config: bytes, what: int, chance: Random, folder: Path, outside: Path
) -> str:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest: Any = [{"Config": "config.json", "RepoTags": ["test:1"], "Layers": names}]
    if what == 2 and chance.random() < 0.3:
        manifest[0][chance.choice(("Config", "Layers"))] = chance.choice(
            ("../outside/secret", "/etc/passwd", ["../outside/secret"], "a\0b", "x" * 5000, ".")
        )
    members = [_member(name, _packed(layer, chance)) for name, layer in
               zip(names, layers, strict=True)]  # fmt: skip
    members += [
        _member("config.json", config),
        _member("manifest.json", _json(manifest, what == 2, chance)),
    ]
    if chance.random() < 0.1:
        _unpacked(members, folder / "image", outside)
        return "docker-archive:./image"
    return "docker-archive:./" + _archive(members, what, chance, folder)


def _oci_members(
    layers: list[bytes], config: bytes, what: int, chance: Random
) -> list[tuple[tarfile.TarInfo, bytes]]:
    blobs: dict[str, bytes] = {}

    def put(data: bytes, kind: str) -> dict[str, Any]:
        blobs[_sha(data)] = data
        return {"mediaType": kind, "digest": f"sha256:{_sha(data)}", "size": len(data)}

    kind = "application/vnd.oci.image"
    manifest = {
        "schemaVersion": 2,
        "config": put(config, f"{kind}.config.v1+json"),
        "layers": [put(_packed(layer, chance), f"{kind}.layer.v1.tar") for layer in layers],
    }
    entry = put(_json(manifest, what == 2, chance), f"{kind}.manifest.v1+json")
    for _ in range(chance.choice((0, 0, 0, 1, 5))):
        entry = put(json.dumps({"manifests": [entry]}).encode(), f"{kind}.index.v1+json")
    index = _json({"schemaVersion": 2, "manifests": [entry]}, what == 3, chance)
    if blobs and chance.random() < 0.1:
        name = chance.choice(list(blobs))
        blobs[name] = harmed(blobs[name], chance)
    members = [_member(f"blobs/sha256/{digest}", data) for digest, data in blobs.items()]
    return [*members, _member("index.json", index), _member("oci-layout", b"{}")]


def _oci_folder(
    layers: list[bytes], config: bytes, what: int, chance: Random, folder: Path, outside: Path
) -> str:
    path = folder / "layout"
    _unpacked(_oci_members(layers, config, what, chance), path, outside)
    if chance.random() < 0.15:
        victim = chance.choice([each for each in path.rglob("*") if each.is_file()])
        victim.unlink()
        make: list[Callable[[], object]] = [
            lambda: victim.symlink_to(outside / "secret"),
            lambda: victim.symlink_to(victim.name),
            lambda: os.mkfifo(victim),
            lambda: victim.mkdir(),
            lambda: (victim.touch(), os.truncate(victim, 400 << 20)),
        ]
        chance.choice(make)()
    return "oci:./layout"


def _oci_archive(
    layers: list[bytes], config: bytes, what: int, chance: Random, folder: Path, outside: Path
) -> str:
    members = _oci_members(layers, config, what, chance)
    return "oci-archive:./" + _archive(members, what, chance, folder)


def _unpacked(members: list[tuple[tarfile.TarInfo, bytes]], path: Path, outside: Path) -> None:
    for info, data in members:
        target = path / info.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


# -- tar archives


def _member(name: str, data: bytes, **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data


def _archive(
    members: list[tuple[tarfile.TarInfo, bytes]], what: int, chance: Random, folder: Path
) -> str:
    if what == 4:
        members.insert(0, _extra(chance))
    if chance.random() < 0.05:
        chance.choice((members.reverse, members.pop, lambda: members.extend(members[:2])))()
    data = tar(members)
    if what == 5:
        data = retagged(data, chance)
    elif what == 6:
        data = harmed(data, chance)
    if chance.random() < 0.1:
        data = _packed(data, chance)
    (folder / "image.tar").write_bytes(data)
    return "image.tar" + chance.choice(("", "", "", ":test:1", ":\ud83d"[:1] + "none"))


def tar(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """An archive with these members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for info, data in members:
            made.addfile(info, io.BytesIO(data))
    return out.getvalue()


def _extra(chance: Random) -> tuple[tarfile.TarInfo, bytes]:
    name = chance.choice(_PATHS).decode("utf-8", "surrogateescape")
    kind = chance.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE,
                          tarfile.DIRTYPE, tarfile.REGTYPE))  # fmt: skip
    target = chance.choice(("/etc/shadow", "../../../../etc/passwd", "config.json", name, "", "x"))
    return _member(name, b"", type=kind, linkname=target)


def _layer(data: bytes, chance: Random) -> bytes:
    if chance.random() < 0.25:
        return harmed(data, chance)
    for _ in range(chance.choice((1, 1, 3))):
        data = retagged(data, chance)
    return data


def retagged(data: bytes, chance: Random) -> bytes:
    """Change a field of one header of an archive, mostly with a correct checksum."""
    starts = _headers(data)
    if not starts:
        return data
    at = chance.choice(starts)
    if chance.random() < 0.4:
        return data[:at] + _pax(chance) + data[at:]
    block = bytearray(data[at : at + _BLOCK])
    start, size = _FIELDS[chance.choice(list(_FIELDS))]
    if size >= 100:
        value = chance.choice(_PATHS)
    elif size == 1:
        value = chance.choice((b"0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"x", b"g", b"L",
                               b"K", b"S", b"V", b"\0", b"Z"))  # fmt: skip
    else:
        value = chance.choice(_NUMBERS)
    block[start : start + size] = value[:size].ljust(size, b"\0")
    return data[:at] + _summed(block, chance) + data[at + _BLOCK :]


def _summed(block: bytearray, chance: Random) -> bytes:
    if chance.random() < 0.97:
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _headers(data: bytes) -> list[int]:
    """The positions of the headers of a valid archive."""
    found, at = [], 0
    while at + _BLOCK <= len(data) and data[at]:
        found.append(at)
        size = data[at + 124 : at + 136].strip(b" \0")
        try:
            at += _BLOCK + -(-int(size or b"0", 8) // _BLOCK) * _BLOCK
        except ValueError:
            break
    return found


def _pax(chance: Random) -> bytes:
    """A header that describes the next entry, or all entries."""
    records = b""
    for _ in range(chance.choice((1, 1, 3))):
        body = chance.choice(_RECORDS)
        length = len(body) + 3
        while length != len(body) + 2 + len(str(length)):
            length = len(body) + 2 + len(str(length))
        if chance.random() < 0.1:
            length = chance.choice((0, 1, length + 1, length - 1, 10**6, 10**9))
        records += b"%d %s\n" % (length, body)
    kind = chance.choice((b"x", b"x", b"x", b"g", b"L", b"K"))
    block = bytearray(_BLOCK)
    block[:9] = b"PaxHeader"
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124:136], block[136:148] = b"%011o\0" % len(records), b"00000000000\0"
    block[156:157], block[257:265] = kind, b"ustar\x0000"
    return _summed(block, chance) + records + bytes(-len(records) % _BLOCK)
