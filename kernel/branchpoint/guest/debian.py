"""Debian packages as file trees.

They are unpacked in Python, and no maintainer script runs: for the guest itself
:mod:`branchpoint.guest.rootfs` makes the few files that those would have made. Images of packages
are made by :mod:`branchpoint.guest.unpacking`. How packages are found and fetched is in
:mod:`branchpoint.debian`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from branchpoint.debian.entry import Deb
from branchpoint.debian.packages import fingerprint, resolve
from branchpoint.errors import ImageError, SetupError
from branchpoint.guest.tree import EPOCH, Tree

__all__ = ["Deb", "fingerprint", "resolve", "unpack"]

_MERGED = ("bin", "sbin", "lib", "lib64")  # links into usr/ in every present Debian


def unpack(debs: Iterable[Deb]) -> Tree:
    """Merge the files of ``debs`` into one tree; ``/bin``, ``/lib`` ... are links into ``/usr``."""
    tree = Tree()
    for name in _MERGED:
        tree.add_dir(f"usr/{name}")
        tree.add_symlink(name, f"usr/{name}")
    for deb in debs:
        with _plain(deb) as process:
            assert process.stdout is not None
            tree.apply_tar(process.stdout, latest=EPOCH)
            while process.stdout.read(1 << 16):
                pass
        if process.returncode:
            raise ImageError(
                f"cannot unpack {deb.path}", f"delete it; it is downloaded again ({deb.name})"
            )
    return tree


def _plain(deb: Deb) -> subprocess.Popen[bytes]:
    """A program that writes the package's files as a tar stream."""
    try:
        return subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb.path], stdout=subprocess.PIPE)
    except FileNotFoundError:
        raise SetupError(
            "dpkg-deb is not installed", "the guest is made of Debian packages: install dpkg"
        ) from None
