"""The system images in the cache: which there are, and how those go that nobody needs."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path

from branchpoint.cache import disk_errors, kept_files
from branchpoint.decoding import text
from branchpoint.errors import ImageError
from branchpoint.files import locked

DIGEST = "digest"
"""The file that names a system image; it is touched whenever the image is used."""
MUCH = 20 << 30
"""Bytes of all system images from which on it is said how to get rid of some."""
_FILE = "system"
_QUIET = 3600  # s: an image that was asked for so lately may be about to start


@dataclass(frozen=True)
class Cached:
    """A system image in the cache: the digest (hex) of its content, the bytes that it takes, and
    when it was last used (Unix seconds)."""

    folder: Path
    digest: str
    size: int
    used: float


def file_in(folder: Path) -> tuple[Path, str]:
    """The system image in a folder of the cache, and its digest; it counts as used now.

    :raises ImageError: when the folder is damaged.
    """
    digest = _digest_in(folder / DIGEST)
    if not digest:
        raise ImageError(
            f"the system image in {folder} is damaged", "delete that directory: it is built again"
        )
    _use(folder / DIGEST)
    return folder / _FILE, digest


def find(digest: str) -> Path | None:
    """The file of the system image with this digest, if it is in the cache."""
    for known in kept_files("systems", DIGEST):
        with contextlib.suppress(OSError):
            if known.read_bytes() == digest.encode():
                _use(known)
                return known.with_name(_FILE)
    return None


def all_of_them() -> list[Cached]:
    """All system images in the cache; damaged ones have no digest."""
    found = []
    for file in kept_files("systems", DIGEST):
        with contextlib.suppress(OSError):
            blocks = file.with_name(_FILE).stat().st_blocks
            used = file.stat().st_mtime
            found.append(Cached(file.parent, _digest_in(file), 512 * blocks, used))
    return found


def advice() -> str:
    """How to get rid of system images, when they take much of the disk; else nothing.

    None goes by itself: a recording anywhere may need it, and it cannot be built again when Debian
    has moved on.
    """
    size = sum(each.size for each in all_of_them())
    if size < MUCH:
        return ""
    return (
        f"system images take {size / 1e9:.0f} GB in the cache; "
        "`branchpoint machine prune FOLDER...` deletes those that no recording in them names"
    )


def unnamed(named: Container[str]) -> list[Cached]:
    """The system images whose digests are not in ``named``, without those used in the last hour."""
    before = time.time() - _QUIET
    return [each for each in all_of_them() if each.digest not in named and each.used < before]


def remove(images: Iterable[Cached]) -> int:
    """Delete system images; returns how many bytes are free now. They can be built again."""
    freed = 0
    for image in images:
        with locked(f"system-{image.folder.name}"), disk_errors(image.folder):
            (image.folder / DIGEST).unlink(missing_ok=True)  # first: without it, it is not there
            shutil.rmtree(image.folder)
            freed += image.size
    return freed


def _use(file: Path) -> None:
    with contextlib.suppress(OSError):  # it may be somebody else's, to be read only
        file.touch()


def _digest_in(file: Path) -> str:
    """What the file says; "" when that is no digest."""
    digest = file.read_bytes()
    return text(digest) if re.fullmatch(rb"[0-9a-f]{32}", digest) else ""
