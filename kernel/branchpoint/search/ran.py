"""Which files of which containers the code that ran belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from branchpoint.programs.images import Images


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
    images = Images(module)
    counts = Counter(file for file in map(images.at, places) if file is not None)
    found = [FileRan(list(file.containers), file.path, count) for file, count in counts.items()]
    return sorted(found, key=lambda each: (-each.places, each.containers, each.path))
