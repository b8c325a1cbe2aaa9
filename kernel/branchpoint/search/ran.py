"""Which files of which containers the code that ran belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from branchpoint.guest.places import Places
from branchpoint.system.bundle.setup_script import rooted

_SETUP = "branchpoint/setup.sh"
_LARGEST = 1 << 24  # bytes of it


class FileRan(NamedTuple):
    """A file of an image of which code ran."""

    containers: list[str]
    """Those that have this image; it may have run in any of them."""
    path: str
    """In the container."""
    places: int
    """How many places of its code ran: branches, and where they lead."""


def by_file(places: Iterable[int], module: Path) -> list[FileRan]:
    """The files that these places of a system's memory module belong to, most places first.

    :raises ImageError: when the module cannot be read.
    """
    files = Places(module)
    owners = _owners(files, module)
    counts = Counter(file.path for file in map(files.file, places) if file is not None)
    found = []
    for path, count in counts.items():
        folder, _, inner = path.partition("/")
        image, _, rest = inner.partition("/")
        known = folder == "images" and image in owners
        found.append(FileRan(owners[image] if known else [], f"/{rest if known else path}", count))
    return sorted(found, key=lambda each: (-each.places, each.containers, each.path))


def _owners(files: Places, module: Path) -> dict[str, list[str]]:
    for extent in files.extents:
        if extent.path == _SETUP and extent.end - extent.start <= _LARGEST:
            with module.open("rb") as file:
                file.seek(extent.start)
                return rooted(file.read(extent.end - extent.start).decode("utf-8", "replace"))
    return {}
