"""The files of a system's images, as its containers see them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from branchpoint.guest.places import Extent, Places
from branchpoint.system.bundle.runtime_files import RENEWAL
from branchpoint.system.bundle.setup_script import rooted

_SETUP = "branchpoint/setup.sh"
_IMAGES = "images"
_LARGEST_SCRIPT = 1 << 24  # bytes
_LARGEST = 1 << 29  # bytes of a file that is read


class File(NamedTuple):
    """A file of an image."""

    containers: tuple[str, ...]
    """Those that have this image."""
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
    def files(self) -> list[File]:
        """All files with content, in the order in which they lie."""
        return [self._named(extent) for extent in self._places.extents]

    @cached_property
    def by_path(self) -> dict[str, File]:
        """Files of images by their path in the container; of several images, one has it."""
        return {file.path: file for file in self.files if file.containers}

    def at(self, place: int) -> File | None:
        """The file at a place; None when there is none."""
        extent = self._places.file(place)
        return None if extent is None else self._named(extent)

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
        return File((), f"/{extent.path}", extent)
