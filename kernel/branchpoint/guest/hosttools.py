"""Programs of the guest's Debian release that run on this computer, whatever it has itself.

What builds a guest must be the same everywhere, or two computers build different guests. So these
programs come from the guest's own release, are unpacked into the cache, and are started by the
loader and with the libraries that they were made for: no root, no namespaces, no installation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from branchpoint.cache import cache_dir
from branchpoint.files import locked, publish
from branchpoint.guest import debian
from branchpoint.guest.tree import Tree

_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "ld-linux-x86-64.so.2"
_PARTS = ("usr/bin/", "usr/include/", "usr/lib/", "usr/libexec/")
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


def unpacked(
    name: str, packages: Iterable[str], keep: Callable[[str], bool] = lambda package: True
) -> Tools:
    """The ``packages`` with their dependencies, in a folder of the cache that begins with ``name``.

    ``keep`` is that of :func:`debian.resolve`, whose errors are raised.
    """
    with locked(name):
        debs = debian.resolve(packages, keep)
        key = blake3("".join(deb.sha256 for deb in debs).encode()).hexdigest(8)
        folder = cache_dir() / "tools" / f"{name}-{key}"
        if not folder.exists():
            with publish(folder) as unfinished:
                unfinished.mkdir()
                _write(debian.unpack(debs), unfinished)
    return Tools(folder)


def _write(tree: Tree, folder: Path) -> None:
    for path, node in tree.walk():
        if not path.startswith(_PARTS):
            continue
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if node.is_link and not node.target.startswith("/"):
            target.symlink_to(node.target)
        elif node.is_file:
            with target.open("wb") as file:
                for chunk in node.content.chunks() if node.content else ():
                    file.write(chunk)
            target.chmod(0o755 if node.mode & 0o111 else 0o644)
