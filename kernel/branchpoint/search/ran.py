"""Which files of which containers the code that ran belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from branchpoint.programs.images import File, Images
from branchpoint.search.code import file_key, key_of


class FileRan(NamedTuple):
    """A file of an image of which code ran."""

    containers: list[str]
    """Those whose image has it; it may have run in any of them."""
    path: str
    """In the container."""
    places: int
    """How many places of its code ran: branches and where they lead, or lines of Python."""


def by_file(places: Iterable[int], module: Path) -> list[FileRan]:
    """The files that these places belong to, most places first: those of a system's memory module,
    and Python programs of its images.

    :raises ImageError: when the module cannot be read.
    """
    images = Images(module)
    counts: Counter[File] = Counter()
    lines: Counter[int] = Counter()
    for place in places:
        key = key_of(place)
        if key is not None:
            lines[key] += 1
        elif (file := images.at(place)) is not None:
            counts[file] += 1
    found = [FileRan(list(file.containers), file.path, count) for file, count in counts.items()]
    sources: dict[str, list[str]] = {}
    for file in images.files if lines else ():
        if file.path.endswith(".py") and file_key(file.path) in lines:
            sources.setdefault(file.path, []).extend(file.containers)
    found += [FileRan(names, path, lines[file_key(path)]) for path, names in sources.items()]
    return sorted(found, key=lambda each: (-each.places, each.containers, each.path))
