"""Recipes (``x-branchpoint-debian``) -> images."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path

import msgspec

from branchpoint.guest import debian, rootfs
from branchpoint.guest.tree import Tree
from branchpoint.system.images import projectfiles
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.model import FileEntry, Recipe

# What every program may expect on a Debian system. Debian marks these packages as essential, so
# other packages do not name them as dependencies.
BASE = (
    "base-files",
    "base-passwd",
    "bash",
    "coreutils",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "libc-bin",
    "mawk",
    "ncurses-base",
    "passwd",
    "procps",
    "sed",
    "tar",
    "util-linux",
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DebianImage:
    """An image of packages and files; its ``id`` covers every byte that goes into it."""

    def __init__(self, recipe: Recipe) -> None:
        self.config = ImageConfig(environment=(f"PATH={PATH}",))
        self.commands = recipe.commands
        self._recipe = recipe
        self._packages = (*BASE, *recipe.packages)
        self.id = self._digest()

    def _digest(self) -> str:
        record = {
            "packages": debian.fingerprint(self._packages),
            "files": [
                {k: v for k, v in asdict(entry).items() if k not in ("line", "source")}
                | {"content": projectfiles.digest(Path(entry.source)) if entry.source else ""}
                for entry in self._recipe.files
            ],
            "symlinks": self._recipe.symlinks,
            "users": [asdict(user) for user in self._recipe.users],
            "commands": self._recipe.commands,
        }
        return hashlib.sha256(msgspec.json.encode(record)).hexdigest()

    def unpack(self) -> Tree:
        """The image's files."""
        tree = debian.unpack(debian.resolve(self._packages))
        rootfs.complete(tree)
        self._add_users(tree)
        for entry in self._recipe.files:
            _add_file(tree, entry)
        for path, target in self._recipe.symlinks.items():
            tree.add_symlink(path, target)
        return tree

    def _add_users(self, tree: Tree) -> None:
        passwd = tree.read("etc/passwd").decode()
        group = tree.read("etc/group").decode()
        for user in self._recipe.users:
            passwd += f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:{user.shell}\n"
            if not any(line.split(":")[2:3] == [str(user.gid)] for line in group.splitlines()):
                group += f"{user.name}:x:{user.gid}:\n"
            if user.home not in tree:
                tree.add_dir(user.home, 0o755, user.uid, user.gid)
        tree.add_file("etc/passwd", passwd.encode())
        tree.add_file("etc/group", group.encode())


def _add_file(tree: Tree, entry: FileEntry) -> None:
    if entry.text is not None:
        mode = 0o644 if entry.mode is None else entry.mode
        tree.add_file(entry.target, entry.text.encode(), mode, entry.uid, entry.gid)
    elif entry.source is not None:
        source = Path(entry.source)
        projectfiles.copy(source, tree, entry.target, entry.uid, entry.gid, entry.mode)
    else:
        mode = 0o755 if entry.mode is None else entry.mode
        tree.add_dir(entry.target, mode, entry.uid, entry.gid)
