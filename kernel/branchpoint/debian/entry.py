"""Packages as a signed index names them, lists of packages, and their files in the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct


class Entry(Struct, frozen=True, order=True):
    """A package that is needed, in exactly this version.

    Where it comes from is not said: ``path`` is the same in every mirror of Debian.
    """

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.+-]*[a-z0-9.+]\Z", max_length=200)]
    version: Annotated[str, Meta(pattern=r"^[0-9][A-Za-z0-9.+~:-]*\Z", max_length=200)]
    path: Annotated[
        str,
        Meta(
            pattern=r"^pool/([a-z0-9][a-z0-9.+-]*/)+[a-z0-9][a-z0-9.+-]*_[A-Za-z0-9_.+~-]+\.deb\Z",
            max_length=500,
        ),
    ]
    """Below a mirror's root."""
    size: Annotated[int, Meta(gt=0, lt=1 << 40)]
    """Bytes."""
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]

    @property
    def file(self) -> str:
        """The name of its file in the cache: as apt calls it, with the whole version."""
        version = self.version.replace(":", "%3a")
        return f"{self.name}_{version}_{self.path.rpartition('_')[2]}"


@dataclass(frozen=True)
class PackageList:
    """Packages that are used together; ``keep`` says by name which of their dependencies are."""

    name: str
    packages: tuple[str, ...]
    keep: Callable[[str], bool] = field(default=lambda name: True)


@dataclass(frozen=True)
class Deb:
    """One downloaded package file; ``sha256`` (hex) is the one that a signed index named."""

    name: str
    version: str
    sha256: str
    path: Path
