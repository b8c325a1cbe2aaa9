"""Made-up guest images and firmware in an own cache, for tests that start no machine."""

from __future__ import annotations

from pathlib import Path

from branchpoint.guest import image
from branchpoint.guest.image import GuestImage
from branchpoint.machine import firmware
from branchpoint.machine.firmware import Firmware

SYMBOLS = dict.fromkeys(image.SYMBOLS, 18446744071578845184)
PACKAGES = {"linux-image-6.12": "6.12.1"}


def guest(cache: Path, kernel: bytes) -> GuestImage:
    """A guest image in the cache."""
    folder = cache / "guest" / kernel.hex()
    folder.mkdir(parents=True)
    for name in image.FILES:
        (folder / name).write_bytes(kernel + name.encode())
    image.describe(folder, image.digest_of(folder), SYMBOLS, PACKAGES)
    return image.load(folder)


def start(content: bytes) -> Firmware:
    """Firmware in the cache."""
    return firmware.install({name: content + name.encode() for name in firmware.FILES})
