"""The firmware that a machine starts with: pinned files, whatever this computer's QEMU brings.

What a guest's memory holds after a boot depends on these files, bit for bit, but not on which
QEMU 10.0 runs it. So they are a part of the machine, like the guest image, and are kept apart.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from branchpoint.cache import cache_dir
from branchpoint.debian import hosttools, packages
from branchpoint.debian.fetching import Gone
from branchpoint.errors import SetupError
from branchpoint.files import locked, publish
from branchpoint.machine.packages import FIRMWARE

FILES = ("bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin")
"""All that QEMU loads for the machine of :mod:`branchpoint.machine.computer`."""
LARGEST = 1 << 20
"""Bytes that one of the files may have."""
PINNED = {
    "bios-256k.bin": "a259beb8d911d6ab5c3bb7d903347189",
    "kvmvapic.bin": "22f95e1e6e825620750f568cb86cf0d8",
    "linuxboot_dma.bin": "8661817d38d5e58d02ea82e4595d6c5f",
}
"""The digests (blake3) of those that new recordings are made with: SeaBIOS 1.16.3-2~bpo12+1 and
QEMU 10.0.2 of Debian. All recordings before firmware was pinned were made with them, too."""
_PLACES = ("usr/share/seabios", "usr/share/qemu")


@dataclass(frozen=True)
class Firmware:
    """A set of firmware files. Equal ``digest`` (hex) means equal files."""

    digest: str
    folder: Path
    """Where they are, and nothing else: everybody may read it."""

    @property
    def files(self) -> dict[str, bytes]:
        """Each file's content."""
        return {name: (self.folder / name).read_bytes() for name in FILES}


def pinned_digest() -> str:
    """The digest (hex) of the firmware of new recordings, which need not be in the cache."""
    return _digest_of(PINNED)


def obtain(digest: str) -> Firmware | None:
    """The firmware with this digest; None when it is not in the cache and cannot be fetched.

    :raises SetupError: when it is the pinned one and its packages are not to be had.
    """
    return pinned() if digest == pinned_digest() else find(digest)


def pinned() -> Firmware:
    """The firmware of new recordings: from the cache, or from the packages that had it.

    :raises SetupError: when these are not to be had any more.
    """
    return find(pinned_digest()) or install(_found(Path("/")) or _fetched())


def find(digest: str) -> Firmware | None:
    """The firmware with this digest, if it is in the cache and whole."""
    folder = cache_dir() / "firmware" / digest
    try:
        found = {name: (folder / name).read_bytes() for name in FILES}
    except OSError:
        return None
    return Firmware(digest, folder) if digest_of(found) == digest else None


def digest_of(files: Mapping[str, bytes]) -> str:
    """The digest of firmware of this content."""
    return _digest_of({name: _digest(data) for name, data in files.items()})


def install(files: Mapping[str, bytes]) -> Firmware:
    """Put firmware into the cache. ``files`` has the content of each of :data:`FILES`.

    :raises ValueError: when it has others.
    """
    if sorted(files) != list(FILES) or any(len(data) > LARGEST for data in files.values()):
        raise ValueError(f"firmware is {', '.join(FILES)}, each of at most {LARGEST} bytes")
    digest = digest_of(files)
    folder = cache_dir() / "firmware" / digest
    if find(digest) is None:
        with locked(f"firmware-{digest}"):
            if find(digest) is None:  # nobody else has put it there meanwhile
                with publish(folder) as unfinished:
                    unfinished.mkdir()
                    for name, data in files.items():
                        (unfinished / name).write_bytes(data)
    return Firmware(digest, folder)


def _found(root: Path) -> dict[str, bytes]:
    """The pinned files of a Debian system; none if any of them is missing there."""
    paths = [root / place / name for place in _PLACES for name in FILES]
    found = {path.name: path.read_bytes() for path in paths if _as_pinned(path)}
    return found if len(found) == len(FILES) else {}


def _as_pinned(path: Path) -> bool:
    return path.is_file() and _digest(path.read_bytes()) == PINNED[path.name]


def _fetched() -> dict[str, bytes]:
    try:
        debs = packages.exactly(FIRMWARE)
    except Gone as gone:
        raise SetupError(
            f"the machine's firmware is in no archive of this computer any more: {gone.message}",
            "import a machine that has it: branchpoint machine import FILE",
        ) from gone
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "root")
        hosttools.unpack(debs, root)
        return _found(root)


def _digest(data: bytes) -> str:
    return blake3(data).hexdigest(16)


def _digest_of(digests: Mapping[str, str]) -> str:
    words = "".join(f"{name} {digests[name]}\n" for name in FILES)
    return _digest(words.encode())
