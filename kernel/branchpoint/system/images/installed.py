"""Trees with packages installed, kept in the cache: to install them takes seconds each time.

A folder of ``installed`` in the cache holds ``contents``, the bytes of all files one after the
other, and ``index``, which says what is where. Those used last are kept, as all can be made again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO

import msgspec

from branchpoint.cache import cache_dir, kept_files
from branchpoint.decoding import Malformed, from_msgpack
from branchpoint.files import locked, publish
from branchpoint.guest.tree import Content, Node, Tree

_INDEX, _CONTENTS = "index", "contents"
_MOST = 8  # trees that are kept


class _Entry(msgspec.Struct, array_like=True):
    """One name in a tree; names and links are as the file system has them, in bytes."""

    path: bytes
    first: int
    """The number of the first entry of the same file: a hard link; else its own number."""
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    xattrs: list[tuple[bytes, bytes]] = []
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    offset: int = 0
    size: int = 0


def kept(key: str, make: Callable[[], Tree]) -> Tree:
    """The tree with that key (hex digits), from the cache; the first time, as it is made."""
    folder = cache_dir() / "installed" / key
    with locked(f"installed-{key}"):
        tree = _read(folder)
        if tree is None:
            tree = make()
            with publish(folder) as unfinished:
                unfinished.mkdir()
                _write(tree, unfinished)
            _forget_others(folder)
        with contextlib.suppress(FileNotFoundError):  # another process has just forgotten it
            os.utime(folder / _INDEX)
        return tree


def _forget_others(chosen: Path) -> None:
    """Delete those that were used longest ago. Who reads one goes on with what is open."""
    others = [each for each in kept_files("installed", _INDEX) if each.parent != chosen]
    with contextlib.suppress(OSError):  # another process deletes them, too
        others.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for index in others[_MOST - 1 :]:
            index.unlink()  # first: without it, the tree is not there
            shutil.rmtree(index.parent)


def _write(tree: Tree, folder: Path) -> None:
    entries: list[_Entry] = []
    numbers: dict[int, int] = {}
    with (folder / _CONTENTS).open("wb") as contents:
        for path, node in [("", tree.root), *tree.walk()]:
            first = numbers.setdefault(id(node), len(entries))
            name = os.fsencode(path)
            if first == len(entries):
                entries.append(_entry(name, first, node, contents))
            else:
                entries.append(_Entry(name, first))
    (folder / _INDEX).write_bytes(msgspec.msgpack.encode(entries))


def _entry(path: bytes, number: int, node: Node, contents: IO[bytes]) -> _Entry:
    offset = contents.tell()
    for chunk in node.content.chunks() if node.content else ():
        contents.write(chunk)
    return _Entry(
        path,
        number,
        node.mode,
        node.uid,
        node.gid,
        node.mtime,
        [(os.fsencode(name), value) for name, value in node.xattrs.items()],
        os.fsencode(node.target),
        node.device,
        offset,
        contents.tell() - offset,
    )


def _read(folder: Path) -> Tree | None:
    """None: it is not there, or damaged."""
    try:
        entries = from_msgpack((folder / _INDEX).read_bytes(), list[_Entry])
        contents = (folder / _CONTENTS).open("rb")  # the tree's, as long as it needs it
    except (FileNotFoundError, Malformed):
        return None
    end = max((entry.offset + entry.size for entry in entries), default=0)
    if not entries or end > os.fstat(contents.fileno()).st_size:
        return None
    tree = Tree()
    nodes: list[Node] = []
    directories = {b"": tree.root}
    for number, entry in enumerate(entries):
        node = nodes[entry.first] if entry.first < number else _node(entry, contents)
        nodes.append(node)
        if number == 0:
            tree.root = directories[b""] = node
            continue
        parent, _, name = entry.path.rpartition(b"/")
        directories[parent].children[os.fsdecode(name)] = node
        if node.is_dir:
            directories[entry.path] = node
    return tree


def _node(entry: _Entry, contents: IO[bytes]) -> Node:
    return Node(
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime,
        {os.fsdecode(name): value for name, value in entry.xattrs},
        os.fsdecode(entry.target),
        entry.device,
        Content(contents, entry.offset, entry.size) if entry.size else None,
    )
