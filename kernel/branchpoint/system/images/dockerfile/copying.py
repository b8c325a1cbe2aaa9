"""COPY and ADD: nodes of one tree, placed in another by docker's rules.

A source that is a directory means its content; a target that ends with a slash, or is a directory
already, is a directory to put things in. Directories that are there keep their attributes at the
top, and get the source's below it.
"""

from __future__ import annotations

import posixpath
import stat
import tempfile
from dataclasses import dataclass, replace
from typing import IO

from branchpoint import decoding
from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import ImageError
from branchpoint.guest.tree import Node, Tree, clone
from branchpoint.system.images.archive import MAX_IMAGE_BYTES, check_depth, expect_room, plain
from branchpoint.system.images.dockerfile.patterns import Rules, compiled, is_pattern
from branchpoint.system.images.tarscan import BLOCK, is_header, scan


@dataclass(frozen=True)
class Ownership:
    """What --chown and --chmod say: None keeps what the source has."""

    uid: int | None = None
    gid: int | None = None
    mode: int | None = None

    @property
    def parents(self) -> tuple[int, int]:
        """The owner of directories that have to be made."""
        return self.uid or 0, self.gid or 0


def pick(tree: Tree, source: str) -> list[tuple[str, Node]]:
    """(path, node) of all in ``tree`` that the path or pattern ``source`` means.

    Links are followed, and never lead out of the tree. The list may be empty.
    """
    ways = [""]
    for part in posixpath.normpath(f"/{source}").strip("/").split("/"):
        ways = [f"{way}/{name}" for way in ways for name in _fitting(tree.get(way), part)]
    picked = [(way.strip("/"), tree.get(way)) for way in ways]
    return [(way, node) for way, node in picked if node is not None]


def _fitting(folder: Node | None, part: str) -> list[str]:
    """The names in a directory that a path's part means; "" is the directory itself."""
    if folder is None or not folder.is_dir:
        return []
    pattern = compiled(part) if is_pattern(part) else None
    return [part] if pattern is None else sorted(filter(pattern.fullmatch, folder.children))


def place(
    tree: Tree,
    picked: list[tuple[str, Node]],
    target: str,
    owner: Ownership,
    *,
    parents: bool = False,
) -> None:
    """Put what was picked, (name, node) each, at the absolute path ``target``. With ``parents``, it
    is a directory, and names are paths below it, of directories too.

    :raises ImageError: when the target does not fit: a file where a directory is needed, or the
        other way round.
    """
    existing = tree.get(target)
    inside = parents or target.endswith("/") or (existing is not None and existing.is_dir)
    if len(picked) > 1 and not inside:
        raise several(target)
    for name, node in picked:
        if node.is_dir:
            path = f"{target.rstrip('/')}/{name}" if parents else target
            made = tree.get(path) is None
            folder = make_folder(tree, path, *owner.parents)
            if made:
                _take(folder, node, owner)
            _merge(folder, node, owner, path)
        else:
            path = f"{target.rstrip('/')}/{name}" if inside else target
            folder = make_folder(tree, posixpath.dirname(path), *owner.parents)
            _put(folder, posixpath.basename(path), node, owner, path)


def several(target: str) -> ImageError:
    """The error for more than one source and a target that is no directory."""
    return ImageError(f"there are several sources, but {target} is no directory", f"{target}/ is")


def make_folder(tree: Tree, path: str, uid: int, gid: int, mode: int = 0o755) -> Node:
    """The directory at ``path``; it and its parents are made when they are not there.

    :raises ImageError: when something else is there, or a broken link.
    """
    way = ""
    for part in posixpath.normpath(f"/{path}").split("/"):
        way = f"{way}/{part}" if part else way
        node = tree.get(way)
        if node is None:
            if tree.get(way, follow=False) is not None:
                raise ImageError(f"{way} in the image is a broken link")
            tree.add_dir(way, mode, uid, gid)
        elif not node.is_dir:
            raise ImageError(f"{way} in the image is a file, not a directory")
    folder = tree.get(way)
    assert folder is not None
    return folder


def unpacked(file: IO[bytes], what: str) -> Tree | None:
    """What is in the tar archive ``file``, compressed or not; None when it is none.

    :raises ImageError: when it is damaged or too large.
    """
    if not _begins_as_archive(file):
        return None
    tree = Tree()
    with plain(file, what, MAX_IMAGE_BYTES) as archive:
        archive.seek(0)
        if any(entry.holes for entry in scan(archive, what, MAX_IMAGE_BYTES)):
            expect_room(archive, what, MAX_IMAGE_BYTES)
        archive.seek(0)
        tree.apply_tar(archive)
    check_depth(tree, what)
    return tree


def _begins_as_archive(file: IO[bytes]) -> bool:
    first = b""
    try:
        with decoding.decompressing():
            read = decoding.any_stream(file)
            while len(first) < BLOCK and (data := read(BLOCK - len(first))):
                first += data
    except decoding.Malformed:
        return False
    finally:
        file.seek(0)
    return is_header(first[:BLOCK])


def opened(node: Node) -> IO[bytes]:
    """The content of a file of a tree, as a temporary file.

    :raises SetupError: when the cache folder cannot be written to.
    """
    folder = cache_dir()
    with disk_errors(folder):
        file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        for chunk in node.content.chunks() if node.content else ():
            file.write(chunk)
        file.seek(0)
        return file


def without(node: Node, excluded: Rules, way: str = "") -> Node:
    """A directory without what is excluded in it, by paths from there."""
    copy = replace(node, children={})
    for name, child in node.children.items():
        below = f"{way}/{name}".lstrip("/")
        if below not in excluded:
            copy.children[name] = without(child, excluded, below) if child.is_dir else child
    return copy


def _merge(base: Node, source: Node, owner: Ownership, where: str) -> None:
    """Put the content of one directory into another."""
    for name, child in source.children.items():
        existing = base.children.get(name)
        path = posixpath.join(where, name)
        if child.is_dir and existing is not None and existing.is_dir:
            _take(existing, child, owner)
            _merge(existing, child, owner, path)
        elif child.is_dir and existing is not None:
            kind = "a link" if existing.is_link else "a file"
            raise ImageError(f"a directory is to be copied to {path}, which is {kind} in the image")
        else:
            _put(base, name, child, owner, path)


def _put(folder: Node, name: str, node: Node, owner: Ownership, path: str) -> None:
    existing = folder.children.get(name)
    if existing is not None and existing.is_dir and not node.is_dir:
        raise ImageError(f"a file is to be copied to {path}, which is a directory in the image")
    copy = clone(node, {})
    _settle(copy, owner)
    folder.children[name] = copy


def _take(folder: Node, source: Node, owner: Ownership) -> None:
    """Give a directory the attributes of another."""
    folder.mode, folder.uid, folder.gid = source.mode, source.uid, source.gid
    folder.mtime, folder.xattrs = source.mtime, dict(source.xattrs)
    _own(folder, owner)


def _settle(node: Node, owner: Ownership) -> None:
    _own(node, owner)
    for child in node.children.values():
        _settle(child, owner)


def _own(node: Node, owner: Ownership) -> None:
    if owner.uid is not None and owner.gid is not None:
        node.uid, node.gid = owner.uid, owner.gid
    if owner.mode is not None and not node.is_link:
        node.mode = stat.S_IFMT(node.mode) | owner.mode
