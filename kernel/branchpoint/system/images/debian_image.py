"""Recipes (``x-branchpoint-debian``) -> images."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import msgspec

from branchpoint.errors import ImageError
from branchpoint.guest import debian, workshop
from branchpoint.guest.tree import Tree
from branchpoint.system.images import configuring, projectfiles
from branchpoint.system.images.accounts import identify
from branchpoint.system.images.archive import ImageConfig
from branchpoint.system.model import FileEntry, Recipe

# What every Debian system has: the packages that Debian calls essential or required, without apt
# (there is no network to fetch anything from), and ps.
BASE = (
    "base-files",
    "base-passwd",
    "bash",
    "bsdutils",
    "coreutils",
    "dash",
    "debconf",
    "debianutils",
    "diffutils",
    "dpkg",
    "findutils",
    "grep",
    "gzip",
    "hostname",
    "init-system-helpers",
    "libc-bin",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam-runtime",
    "login",
    "login.defs",
    "mawk",
    "mount",
    "ncurses-base",
    "ncurses-bin",
    "passwd",
    "perl-base",
    "procps",
    "sed",
    "sysvinit-utils",
    "tar",
    "tzdata",
    "util-linux",
)
_LATER = {"bookworm": ("login.defs",)}  # what a release did not have yet
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DebianImage:
    """An image of packages and files; its ``id`` covers every byte that goes into it."""

    def __init__(self, recipe: Recipe) -> None:
        self.config = ImageConfig(environment=(f"PATH={PATH}",))
        self._recipe = recipe
        self._base = [name for name in BASE if name not in _LATER.get(recipe.suite, ())]
        self._packages = (*self._base, *recipe.packages)
        self.id = self._digest()

    def _digest(self) -> str:
        record = {
            "packages": debian.fingerprint(self._packages, self._recipe.suite),
            "files": [
                {k: v for k, v in asdict(entry).items() if k not in ("line", "source")}
                | {"content": projectfiles.digest(Path(entry.source)) if entry.source else ""}
                for entry in self._recipe.files
            ],
            "symlinks": self._recipe.symlinks,
            "users": [asdict(user) for user in self._recipe.users],
            "commands": self._recipe.commands,
            "machine": workshop.fingerprint(),
        }
        return hashlib.sha256(msgspec.json.encode(record)).hexdigest()

    def unpack(self) -> Tree:
        """The image's files: packages with their scripts run, then files, then commands."""
        debs = debian.resolve(self._packages, suite=self._recipe.suite)
        tree = configuring.configured(debs, debian.resolve(self._base, suite=self._recipe.suite))
        self._add_users(tree)
        for entry in self._recipe.files:
            _add_file(tree, entry)
        for path, target in self._recipe.symlinks.items():
            tree.add_symlink(path, target)
        if self._recipe.commands:
            configuring.run(tree, self._recipe.commands)
        return tree

    def _add_users(self, tree: Tree) -> None:
        passwd = tree.read("etc/passwd").decode("utf-8", "surrogateescape")
        group = tree.read("etc/group").decode("utf-8", "surrogateescape")
        known = {line.split(":")[0]: line.split(":")[2:4] for line in passwd.splitlines()}
        for user in self._recipe.users:
            numbers = known.get(user.name)
            if numbers is not None and numbers != [str(user.uid), str(user.gid)]:
                raise ImageError(
                    f'the packages have made a user "{user.name}" already, with the numbers '
                    f"{':'.join(numbers)}",
                    'leave it out of "users"',
                )
            if numbers is None:
                passwd += f"{user.name}:x:{user.uid}:{user.gid}::{user.home}:{user.shell}\n"
            if not any(line.split(":")[2:3] == [str(user.gid)] for line in group.splitlines()):
                group += f"{user.name}:x:{user.gid}:\n"
            if user.home not in tree:
                tree.add_dir(user.home, 0o755, user.uid, user.gid)
        tree.add_file("etc/passwd", passwd.encode("utf-8", "surrogateescape"))
        tree.add_file("etc/group", group.encode("utf-8", "surrogateescape"))


def _add_file(tree: Tree, entry: FileEntry) -> None:
    if entry.owner:
        owner = identify(tree, entry.owner)
        entry = replace(entry, uid=owner.uid, gid=owner.gid)
    if entry.text is not None:
        mode = 0o644 if entry.mode is None else entry.mode
        tree.add_file(entry.target, entry.text.encode(), mode, entry.uid, entry.gid)
    elif entry.source is not None:
        source = Path(entry.source)
        projectfiles.copy(source, tree, entry.target, entry.uid, entry.gid, entry.mode)
    else:
        mode = 0o755 if entry.mode is None else entry.mode
        tree.add_dir(entry.target, mode, entry.uid, entry.gid)
