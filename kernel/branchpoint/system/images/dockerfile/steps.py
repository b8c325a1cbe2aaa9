"""What has to be done to the files of a stage, with all variables replaced."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

import msgspec

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Node, Tree
from branchpoint.system.images import projectfiles
from branchpoint.system.images.accounts import identify
from branchpoint.system.images.dockerfile import copying, running
from branchpoint.system.images.dockerfile.context import Context
from branchpoint.system.images.dockerfile.copying import Ownership
from branchpoint.system.images.dockerfile.mounts import Bound, Secret
from branchpoint.system.images.dockerfile.patterns import Rules, excluded
from branchpoint.system.images.dockerfile.running import Job
from branchpoint.system.images.dockerfile.syntax import Instruction


@dataclass(frozen=True)
class Directory:
    """WORKDIR: the directory is made when it is not there."""

    path: str
    user: str

    def apply(self, tree: Tree, instruction: Instruction, origins: list[Tree | Context]) -> None:
        """Do it to ``tree``; nothing else is needed."""
        owner = identify(tree, self.user)
        copying.make_folder(tree, self.path, owner.uid, owner.gid)


@dataclass(frozen=True)
class Run:
    """RUN. ``content`` (a digest) covers what it mounts; ``secrets`` have their content."""

    job: Job
    mounts: tuple[Bound, ...] = ()
    content: tuple[str, ...] = ()
    secrets: tuple[tuple[Secret, bytes], ...] = ()

    def apply(self, tree: Tree, instruction: Instruction, origins: list[Tree | Context]) -> None:
        """Do it to ``tree``; the sources of its mounts are in ``origins``.

        :raises ImageError: when it fails, or a source is not there.
        """
        mounted = []
        for mount, origin in zip(self.mounts, origins, strict=True):
            for _, node in _picked(instruction, origin, mount.source, mount.origin, Rules([])):
                mounted.append((mount.target, node))
        given = Tree()
        for number, (secret, content) in enumerate(self.secrets):
            given.add_file(str(number), content, secret.mode, secret.uid, secret.gid)
            mounted.append((secret.target, given.root.children[str(number)]))
        running.run(tree, self.job, mounted)


@dataclass(frozen=True)
class Copy:
    """COPY or ADD. ``content`` (a digest) covers all that is copied."""

    sources: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]  # (name, content) of files that are written in it
    target: str
    owner: str | None
    mode: int | None
    unpack: bool
    content: str
    excluded: tuple[str, ...] = ()  # patterns, by paths in each source
    parents: bool = False  # --parents: a source's path is kept, from "/./" in it

    def apply(self, tree: Tree, instruction: Instruction, origins: list[Tree | Context]) -> None:
        """Do it to ``tree``; the sources are in the only one of ``origins``.

        :raises ImageError: when a source is not there, or the target does not fit.
        """
        (origin,) = origins
        owner = self._ownership(tree)
        picked: list[tuple[str, Node]] = []
        written = Tree()
        for name, text in self.texts:
            written.add_file(name, text.encode("utf-8", "surrogateescape"))
            picked += copying.pick(written, name)
        left_out = excluded(self.excluded)
        for source in self.sources:
            above = _pivot(source) if self.parents else -1
            called = instruction.flag("from")
            for way, node in _picked(instruction, origin, source, called, left_out):
                name = "/".join(way.split("/")[above:])
                inside = self._unpacked(name, node)
                if inside is None:
                    picked.append((name, node))
                else:
                    copying.place(tree, [("", inside.root)], f"{self.target}/", owner)
        if picked:
            copying.place(tree, picked, self.target, owner, parents=self.parents)

    def _ownership(self, tree: Tree) -> Ownership:
        """The numbers of --chown, whose names are those of the image that is being built."""
        if self.owner is None:
            return Ownership(mode=self.mode)
        identity = identify(tree, self.owner)
        user, _, group = self.owner.partition(":")
        gid = identity.uid if user.isdecimal() and not group else identity.gid
        return Ownership(identity.uid, gid, self.mode)

    def _unpacked(self, name: str, node: Node) -> Tree | None:
        if not (self.unpack and node.is_file):
            return None
        with copying.opened(node) as file:
            return copying.unpacked(file, name)


Step = Directory | Run | Copy


def record(step: Step) -> object:
    """All of a step that decides what comes of it, as plain values."""
    return [type(step).__name__, msgspec.to_builtins(step)]


def _pivot(source: str) -> int:
    """How many parts of a source's path are before the "/./" in it, which are not kept."""
    before, pivot, _ = source.partition("/./")
    parts = posixpath.normpath(f"/{before}").strip("/")
    return len(parts.split("/")) if pivot and parts else 0


def _picked(
    instruction: Instruction,
    origin: Tree | Context,
    source: str,
    called: str | None,
    left_out: Rules,
) -> list[tuple[str, Node]]:
    """(path, node) of all that a source means; files of the context are copied into trees."""
    if not isinstance(origin, Context):
        inside = copying.pick(origin, source)
        if not inside:
            raise ImageError(f'there is no "{source:.200}" in {called}')
        return [
            (way, copying.without(node, left_out) if node.is_dir else node)
            for way, node in inside
            if node.is_dir or posixpath.basename(way) not in left_out
        ]
    picked = []
    for number, whole in enumerate(origin.find(instruction, source)):
        found = whole.without(left_out)
        if found is None:
            continue
        tree = Tree()
        projectfiles.copy(found.path, tree, str(number), found=found.entries)
        node = tree.get(str(number))
        assert node is not None
        picked.append((found.way, node))
    return picked
