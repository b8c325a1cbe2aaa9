"""The files of a system's images, and those of the project that are mounted, as its containers see
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from branchpoint.guest.places import Extent, Places
from branchpoint.system.bundle.runtime_files import RENEWAL, mounted
from branchpoint.system.bundle.setup_script import copied, rooted

_SETUP = "branchpoint/setup.sh"
_CONFIGURATION = "branchpoint/system.conf"
_SYSTEM = "/system/"  # where the module is in the guest
_IMAGES = "images"
_LARGEST_SCRIPT = 1 << 24  # bytes
_LARGEST = 1 << 29  # bytes of a file that is read


class File(NamedTuple):
    """A file of an image, or one that is mounted."""

    containers: tuple[str, ...]
    """Those that have it at this path."""
    path: str
    """In the container; of files that belong to no image, in the guest."""
    extent: Extent
    """Where it lies in the memory module."""


class Images:
    """The images in one memory module."""

    def __init__(self, module: Path) -> None:
        """:raises ImageError: when the module cannot be read."""
        self._module = module
        self._places = Places(module)

    @cached_property
    def _owners(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for extent in self._places.extents:
            script = extent.path == _SETUP or extent.path.endswith(f"/{RENEWAL}")
            if script and extent.end - extent.start <= _LARGEST_SCRIPT:
                for image, names in rooted(self._bytes(extent).decode("utf-8", "replace")).items():
                    known = found.setdefault(image, [])
                    known += [name for name in names if name not in known]
        return found

    @cached_property
    def _mounted(self) -> dict[str, dict[str, list[str]]]:
        """What of the module is mounted into containers: by its path there and then by where it is
        in the containers, which these are. What may be written is there as it was first.
        """
        texts = {
            extent.path: self._bytes(extent).decode("utf-8", "surrogateescape")
            for extent in self._places.extents
            if extent.path in (_SETUP, _CONFIGURATION)
            and extent.end - extent.start <= _LARGEST_SCRIPT
        }
        lowers = copied(texts.get(_SETUP, ""))
        found: dict[str, dict[str, list[str]]] = {}
        for container, source, target in mounted(texts.get(_CONFIGURATION, "")):
            place = next((p for p in lowers if f"{source}/".startswith(f"{p}/")), "")
            inner = lowers[place] + source.removeprefix(place) if place else source
            if inner.startswith(_SYSTEM):
                there = found.setdefault(inner.removeprefix(_SYSTEM), {})
                there.setdefault(target.rstrip("/"), []).append(container)
        return found

    @cached_property
    def files(self) -> list[File]:
        """All files with content, in the order in which they lie."""
        return [self._named(extent) for extent in self._places.extents]

    @cached_property
    def by_path(self) -> dict[str, File]:
        """Files by their path in the container; of several that containers have there, one is it:
        one that is mounted, as it hides that of an image.
        """
        images = {file.path: file for file in self.files if file.containers}
        mounts = [file for extent in self._places.extents for file in self._as_mounted(extent)]
        return images | {file.path: file for file in mounts}

    def at(self, place: int) -> File | None:
        """The file at a place; None when there is none."""
        extent = self._places.file(place)
        return None if extent is None else self._named(extent)

    def among(self, places: Iterable[int]) -> list[File]:
        """The files that have any of these places, each once."""
        extents = dict.fromkeys(map(self._places.file, places))
        return [self._named(extent) for extent in extents if extent is not None]

    def read(self, file: File) -> bytes:
        """Its content; nothing when it is too large."""
        extent = file.extent
        return self._bytes(extent) if extent.end - extent.start <= _LARGEST else b""

    def _bytes(self, extent: Extent) -> bytes:
        with self._module.open("rb") as file:
            file.seek(extent.start)
            return file.read(extent.end - extent.start)

    def _named(self, extent: Extent) -> File:
        folder, _, inner = extent.path.partition("/")
        image, _, rest = inner.partition("/")
        if folder == _IMAGES and image in self._owners:
            return File(tuple(self._owners[image]), f"/{rest}", extent)
        if mounts := self._as_mounted(extent):
            return mounts[0]
        return File((), f"/{extent.path}", extent)

    def _as_mounted(self, extent: Extent) -> list[File]:
        """A file of the module as containers have it that mount it, or a directory around it."""
        found, inner = [], extent.path
        while inner:
            rest = extent.path[len(inner) :]
            for target, containers in self._mounted.get(inner, {}).items():
                found.append(File(tuple(dict.fromkeys(containers)), target + rest, extent))
            inner = inner.rpartition("/")[0]
        return found
