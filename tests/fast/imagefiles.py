"""Container images for tests: layers as lists of members, archives in docker's and OCI's form."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zstandard

CAPABILITY = bytes.fromhex("0100000200040000000000000000000000000000")  # cap_net_bind_service+ep


def member(name: str, data: bytes | None = None, **changes: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A file with ``data``, or a directory; ``changes`` are attributes of the TarInfo."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
    info.mode = 0o755 if data is None else 0o644
    info.size = len(data or b"")
    for key, value in changes.items():
        setattr(info, key, value)
    return info, data or b""


def link(name: str, target: str, hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    kind = tarfile.LNKTYPE if hard else tarfile.SYMTYPE
    return member(name, b"", type=kind, linkname=target)


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An uncompressed layer."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header(name: bytes, kind: bytes, size: int) -> bytes:
    """A header of a tar archive, in ustar's form."""
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = b"%011o\0" % size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@dataclass
class TestImage:
    """Layers and configuration, which can be written in each of the formats."""

    __test__ = False

    layers: list[bytes]
    run: dict[str, Any] = field(default_factory=dict)
    architecture: str = "amd64"

    @property
    def config(self) -> bytes:
        return json.dumps(
            {
                "architecture": self.architecture,
                "os": "linux",
                "config": self.run,
                "rootfs": {
                    "type": "layers",
                    "diff_ids": [f"sha256:{sha256(x)}" for x in self.layers],
                },
                "history": [],
            }
        ).encode()

    @property
    def id(self) -> str:
        return sha256(self.config)

    def docker(self, path: Path, tag: str = "test:1", legacy: bool = False) -> Path:
        """A docker-archive; with ``legacy``, a repeated layer is a link, as in old versions."""
        names = []
        members: list[tuple[tarfile.TarInfo, bytes]] = []
        written: dict[bytes, str] = {}
        for number, content in enumerate(self.layers):
            name = f"{number}/layer.tar"
            if legacy and content in written:
                members.append(link(name, f"../{written[content]}"))
            else:
                members.append(member(name, content))
            written.setdefault(content, name)
            names.append(name)
        manifest = [{"Config": "config.json", "RepoTags": [tag], "Layers": names}]
        members.append(member("config.json", self.config))
        members.append(member("manifest.json", json.dumps(manifest).encode()))
        path.write_bytes(layer(*members))
        return path

    def blobs(self, compression: str = "gzip") -> tuple[dict[str, bytes], dict[str, Any]]:
        """(blobs by digest, descriptor of the manifest)."""
        blobs: dict[str, bytes] = {}

        def put(data: bytes, media: str) -> dict[str, Any]:
            blobs[sha256(data)] = data
            return {"mediaType": media, "digest": f"sha256:{sha256(data)}", "size": len(data)}

        pack = {
            "gzip": lambda data: gzip.compress(data, mtime=0),
            "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
            "": lambda data: data,
        }[compression]
        kind = "application/vnd.oci.image"
        manifest = {
            "schemaVersion": 2,
            "config": put(self.config, f"{kind}.config.v1+json"),
            "layers": [put(pack(x), f"{kind}.layer.v1.tar+{compression}") for x in self.layers],
        }
        return blobs, put(json.dumps(manifest).encode(), f"{kind}.manifest.v1+json")

    def oci(self, path: Path, compression: str = "gzip", tag: str = "1") -> Path:
        """An OCI layout directory."""
        blobs, descriptor = self.blobs(compression)
        descriptor["annotations"] = {"org.opencontainers.image.ref.name": tag}
        write_layout(path, blobs, [descriptor])
        return path

    def folder(self, path: Path) -> Path:
        """As skopeo writes it for ``dir:``."""
        blobs, descriptor = self.blobs()
        manifest = descriptor["digest"].removeprefix("sha256:")
        path.mkdir()
        for digest, data in blobs.items():
            (path / ("manifest.json" if digest == manifest else digest)).write_bytes(data)
        (path / "version").write_text("Directory Transport Version: 1.1\n")
        return path


def write_layout(path: Path, blobs: dict[str, bytes], manifests: list[dict[str, Any]]) -> None:
    (path / "blobs" / "sha256").mkdir(parents=True)
    for digest, data in blobs.items():
        (path / "blobs" / "sha256" / digest).write_bytes(data)
    (path / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))


def archived(layout: Path, path: Path) -> Path:
    """The layout directory as an OCI archive."""
    with tarfile.open(path, "w") as tar:
        for name in ("oci-layout", "index.json", "blobs"):
            tar.add(layout / name, f"./{name}")
    return path
