"""What another computer needs to run futures of a recording, identified by its content.

A parcel is a directory as a compressed tar archive: a recording, or one of the parts that its
machine is made of. It is named by a digest, so it is sent only to computers that lack it. Each
comes in pieces, and is checked against the digest of the archive before any of it is used.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard
from blake3 import blake3

from branchpoint import decoding, files
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import RecordingError
from branchpoint.guest import image
from branchpoint.machine import firmware
from branchpoint.store import manifest
from branchpoint.system.bundle import cached
from branchpoint.timeline.openings import expect_in_place
from branchpoint.timeline.recording import Recording

PIECE = 8 << 20  # bytes that are sent at once
_NOT_SENT = ("curves", "futures.jsonl")  # of a recording: they change, and no future needs them


@dataclass(frozen=True)
class Parcel:
    """Something to be sent."""

    kind: str
    """"recording", "guest", "system" or "firmware"."""
    digest: str
    """Its name; equal for equal content."""
    folder: Path
    """Where it lies here."""

    def pieces(self) -> Iterator[tuple[bytes, str]]:
        """The archive piece by piece; with the last one, the digest of the whole."""
        folder = cache_dir()
        with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as archive:
            packer = zstandard.ZstdCompressor(level=1, threads=-1)
            with (
                packer.stream_writer(archive, closefd=False) as packed,
                tarfile.open(mode="w|", fileobj=packed) as tar,
            ):
                for path in sorted(self.folder.iterdir()):
                    if self.kind != "recording" or path.name not in _NOT_SENT:
                        tar.add(path, path.name)
            digest = blake3()
            size = archive.tell()
            archive.seek(0)
            while piece := archive.read(PIECE):
                digest.update(piece)
                yield piece, digest.hexdigest() if archive.tell() == size else ""


def parcels(run: Recording) -> list[Parcel]:
    """All that is needed to run futures of a recording.

    :raises RecordingError: when another one is in its place now, or parts of it are missing.
    """
    expect_in_place(run.files)
    machine = run.manifest.machine
    guest, system = image.find(machine.guest_image), cached.find(machine.system_image)
    if guest is None or system is None:
        raise RecordingError(
            f"{run.path} cannot be sent: the images of its machine are not on this computer",
            "visit any moment of it first: run.at(0).branch().wait(1)",
        )
    content = blake3(manifest.encode(run.manifest))
    for at in run.files.checkpoints:
        content.update(f"{at}\0".encode())
    start = run.replayer.snapshot.firmware
    return [
        Parcel("firmware", start.digest, start.folder),
        Parcel("guest", machine.guest_image, guest.kernel.parent),
        Parcel("system", machine.system_image, system.parent),
        Parcel("recording", content.hexdigest(16), run.path),
    ]


def place(kind: str, digest: str) -> Path:
    """Where a parcel that was received lies."""
    if kind == "recording":
        return cache_dir() / "recordings" / f"{digest}.branchpoint"
    return cache_dir() / {"system": "systems"}.get(kind, kind) / digest


def here(kind: str, digest: str) -> bool:
    """Whether this computer has a parcel."""
    if kind == "firmware":
        return firmware.find(digest) is not None
    if kind == "guest":
        return image.find(digest) is not None
    if kind == "system":
        return cached.find(digest) is not None
    return place(kind, digest).exists()


def receive(kind: str, digest: str, offset: int, piece: bytes, whole: str) -> None:
    """Take the piece of a parcel's archive that begins at ``offset``.

    With ``whole``, the digest of the archive, it is complete and is unpacked.

    :raises RecordingError: when it is not what was sent.
    """
    target = place(kind, digest)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        _receive(kind, digest, target, offset, piece, whole)


def _receive(kind: str, digest: str, target: Path, offset: int, piece: bytes, whole: str) -> None:
    part = target.with_name(f".{digest}.part")
    fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "r+b") as archive:
        archive.truncate(offset)
        archive.seek(offset)
        archive.write(piece)
        if not whole:
            return
        archive.seek(0)
        found = blake3()
        while data := archive.read(PIECE):
            found.update(data)
        if found.hexdigest() != whole:
            raise RecordingError(f"the {kind} {digest} did not arrive as it was sent")
        archive.seek(0)
        with files.publish(target) as unfinished:
            unfinished.mkdir()
            _unpack(archive, unfinished, f"the {kind} {digest}")
    part.unlink()


def _unpack(archive: BinaryIO, folder: Path, what: str) -> None:
    try:
        with (
            decoding.decompressing(),
            zstandard.ZstdDecompressor().stream_reader(archive) as unpacked,
            tarfile.open(mode="r|", fileobj=unpacked) as tar,
        ):
            for member in tar:
                _put(tar, member, folder)
    except (tarfile.TarError, decoding.Malformed, FileExistsError) as problem:
        raise RecordingError(f"{what} is not a sound archive: {problem}") from None


def _put(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Write one entry: a file or a folder below ``folder``. (Not every Python 3.11 has filters.)"""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or not (member.isdir() or member.isreg()):
        raise tarfile.TarError(f"{member.name!r} cannot be in it")
    target = folder / name
    if member.isdir():
        target.mkdir()
        return
    content = tar.extractfile(member)
    assert content is not None  # it is a file
    with target.open("xb") as file:
        shutil.copyfileobj(content, file, PIECE)
