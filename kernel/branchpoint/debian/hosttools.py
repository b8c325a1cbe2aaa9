"""Programs of the guest's Debian release that run on this computer, whatever it has itself.

What builds a guest must be the same everywhere, or two computers build different guests. So these
programs come from the guest's own release, are unpacked into the cache, and are started by the
loader and with the libraries that they were made for: no root, no namespaces, no installation.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from branchpoint.cache import cache_dir, cache_place
from branchpoint.debian import lists
from branchpoint.debian.entry import Deb, PackageList
from branchpoint.errors import ImageError, SetupError
from branchpoint.files import locked, publish

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_DIGEST = 8  # bytes
_LOADER = "ld-linux-x86-64.so.2"
_UNREAD = ("doc", "info", "lintian", "locale", "man")  # of usr/share
ENVIRONMENT = {"LC_ALL": "C"}
"""For the programs; this computer's variables could change what they make."""


@dataclass(frozen=True)
class Tools:
    """Unpacked packages, the root of a Debian system in ``root``."""

    root: Path

    def command(self, program: str) -> list[str | Path]:
        """How to start ``program``, a path below the root; arguments are to follow."""
        libraries = self.root / _LIBRARIES
        return [libraries / _LOADER, "--library-path", libraries, self.root / program]


def unpacked(wanted: PackageList) -> Tools:
    """The packages of a list, in a folder of the cache that begins with its name.

    Raises what :func:`lists.take` and :func:`unpack` raise.
    """
    with locked(wanted.name):
        folder = _folder(wanted, lists.expected(wanted))
        if not folder.exists():
            debs = lists.take(wanted)
            folder = _folder(wanted, lists.fingerprint(wanted))
            if not folder.exists():
                with publish(folder) as unfinished:
                    unpack(debs, unfinished)
                os.utime(folder)  # not the time of a package
    return Tools(folder)


def _folder(wanted: PackageList, digest: str) -> Path:
    return cache_dir() / "tools" / f"{wanted.name}-{digest[: 2 * _DIGEST]}"


def known(wanted: PackageList) -> Tools | None:
    """The newest of the folders that :func:`unpacked` made for a list; nothing is downloaded."""
    digest = "[0-9a-f]" * (2 * _DIGEST)
    folders = sorted(
        (cache_place() / "tools").glob(f"{wanted.name}-{digest}"),
        key=lambda each: each.stat().st_mtime,
    )
    return Tools(folders[-1]) if folders else None


def unpack(debs: Iterable[Deb], folder: Path) -> None:
    """Write the files of ``debs`` into ``folder`` (new); everybody may read them.

    Raises :class:`SetupError` without dpkg, :class:`ImageError` for a package file that is damaged.
    """
    folder.mkdir()
    for deb in debs:
        try:
            done = subprocess.run(
                ["dpkg-deb", "--extract", deb.path, folder],
                env=os.environ | ENVIRONMENT,
                capture_output=True,
                text=True,
                errors="replace",
            )
        except FileNotFoundError:
            raise SetupError(
                "dpkg-deb is not installed", "the guest is made of Debian packages: install dpkg"
            ) from None
        if "No space left" in done.stderr:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        if done.returncode:
            raise ImageError(
                f"cannot unpack {deb.path}: {done.stderr.strip()[-500:]}",
                f"delete it; it is downloaded again ({deb.name})",
            )
    for name in _UNREAD:
        shutil.rmtree(folder / "usr/share" / name, ignore_errors=True)
    for path in [folder, *folder.rglob("*")]:
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode):  # a copy of a program needs no other user's rights
            path.chmod(0o755 if mode & 0o111 else 0o644)
