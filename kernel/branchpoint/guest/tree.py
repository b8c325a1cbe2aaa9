"""A file tree put together in memory, without root and without touching the host's files.

Debian packages and layers of container images are merged into a :class:`Tree`; from it come the
read-only images that the guest mounts. Only names and attributes are held in memory, file
contents lie one after the other in an unlinked spool file. Paths are relative to the tree's root,
with or without a leading slash; like in a running system, a path leads through symbolic links of
the tree, so ``lib/x`` lands in ``usr/lib/x`` where ``lib`` is a link.
"""

from __future__ import annotations

import math
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Protocol

from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import ImageError

EPOCH = 1735689600
"""Modification time (Unix seconds, 2025-01-01) of everything that has none of its own."""

_CHUNK = 1 << 20  # bytes copied at once
_XATTR = "SCHILY.xattr."  # how tar files carry extended attributes
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_LATEST = 8**11 - 1  # the last time that a tar header has room for, Unix seconds
_MAX_LINKS = 40  # symbolic links followed in one path, as in Linux


class Sink(Protocol):
    """What a tar file can be written to: a file, a pipe, a hash."""

    def write(self, data: bytes, /) -> object: ...


@dataclass(frozen=True, slots=True)
class Content:
    """A file's bytes: ``size`` of them at ``offset`` in a spool file."""

    spool: IO[bytes]
    offset: int
    size: int

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at most 1 MiB at a time."""
        position, end = self.offset, self.offset + self.size
        while position < end:
            data = os.pread(self.spool.fileno(), min(_CHUNK, end - position), position)
            if not data:
                raise ImageError("a spool file of the image builder was cut short")
            position += len(data)
            yield data


@dataclass(slots=True, eq=False)
class Node:
    """One file, directory, link or device; two names of one node are a hard link.

    ``mode`` includes the file type (see :mod:`stat`), ``mtime`` is in Unix seconds, ``target`` is
    a symbolic link's, ``device`` the (major, minor) of a device node.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = EPOCH
    xattrs: dict[str, bytes] = field(default_factory=dict)
    target: str = ""
    device: tuple[int, int] = (0, 0)
    content: Content | None = None
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def is_dir(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.mode)


class Tree:
    """A merged file tree; see the module's text."""

    def __init__(self) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self._directory = cache_dir()
        self._spool: IO[bytes] | None = None

    # --- looking ---

    def get(self, path: str, follow: bool = True) -> Node | None:
        """The node at ``path``, or None; ``follow`` also follows a link that is the last part."""
        parts = self._locate(path, follow)
        return parts[-1][1] if parts else None

    def __contains__(self, path: str) -> bool:
        return self.get(path) is not None

    def real_path(self, path: str) -> str | None:
        """``path`` with every link followed, relative to the root; None when it leads nowhere."""
        parts = self._locate(path, follow=True)
        return "/".join(name for name, _ in parts[1:]) if parts else None

    def read(self, path: str) -> bytes:
        """The bytes of the file at ``path``; :class:`ImageError` when there is none."""
        node = self.get(path)
        if node is None or not node.is_file:
            raise ImageError(f"no file {path} in the image being built")
        return b"".join(node.content.chunks()) if node.content else b""

    def walk(self) -> Iterator[tuple[str, Node]]:
        """All (path, node) but the root, a directory before its children, names sorted bytewise."""
        yield from _walk("", self.root)

    @property
    def size(self) -> int:
        """Bytes of all files together, a hard-linked file counted once."""
        files = {id(node): node.content.size for _, node in self.walk() if node.content}
        return sum(files.values())

    # --- changing ---

    def add_file(
        self,
        path: str,
        data: bytes | Path,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        mtime: int = EPOCH,
        xattrs: dict[str, bytes] | None = None,
    ) -> None:
        """Put a file there, from bytes or copied from a file of the host; parents are made."""
        if isinstance(data, Path):
            with data.open("rb") as source:
                content = self._store(source)
        else:
            content = self._store_bytes(data)
        node = Node(stat.S_IFREG | mode, uid, gid, mtime, dict(xattrs or {}), content=content)
        self._place(path, node)

    def add_dir(
        self, path: str, mode: int = 0o755, uid: int = 0, gid: int = 0, mtime: int = EPOCH
    ) -> None:
        """Make a directory there, or set the attributes of the one that exists."""
        existing = self.get(path)
        if existing is not None and existing.is_dir:
            existing.mode = stat.S_IFDIR | mode
            existing.uid, existing.gid, existing.mtime = uid, gid, mtime
        else:
            self._place(path, Node(stat.S_IFDIR | mode, uid, gid, mtime))

    def add_symlink(
        self, path: str, target: str, uid: int = 0, gid: int = 0, mtime: int = EPOCH
    ) -> None:
        """Put a symbolic link there; ``target`` need not exist."""
        self._place(path, Node(stat.S_IFLNK | 0o777, uid, gid, mtime, target=target))

    def remove(self, path: str) -> None:
        """Remove what is there, with all below it; a link itself, not its target."""
        parts = self._locate(path, follow=False)
        if parts and len(parts) > 1:
            del parts[-2][1].children[parts[-1][0]]

    def merge(self, other: Tree, prefix: str = "") -> None:
        """Put a copy of ``other`` below ``prefix``; its entries replace those of the same name.

        Contents are shared, not copied.
        """
        base = self.get(prefix)
        if base is None:
            base = self._place(prefix, Node(stat.S_IFDIR | 0o755))[-1][1]
        if not base.is_dir:
            raise ImageError(f"{prefix} is not a directory in the image being built")
        _merge(base, clone(other.root, {}))

    def apply_tar(
        self, stream: IO[bytes], layer: bool = False, latest: int | None = None
    ) -> list[str]:
        """Merge an uncompressed tar stream into the tree; returns the paths in its order.

        ``layer`` False is a package's rule: a directory does not replace a link to a directory.
        True is the rule of container image layers: it does, and the whiteouts ``.wh.NAME`` and
        ``.wh..wh..opq`` remove what earlier layers put there. ``latest`` caps modification times.
        """
        touched: dict[int, Node] = {}  # by id; holds the nodes, so that no id is used twice
        paths = []
        try:
            with tarfile.open(
                fileobj=stream, mode="r|", encoding="utf-8", errors="surrogateescape"
            ) as tar:
                for member in tar:
                    self._apply_member(tar, member, layer, latest, touched)
                    paths.append(_clean(member.name))
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise ImageError(f"cannot read a tar archive: {error}") from error
        return paths

    def _apply_member(
        self,
        tar: tarfile.TarFile,
        member: tarfile.TarInfo,
        layer: bool,
        latest: int | None,
        touched: dict[int, Node],
    ) -> None:
        path = _clean(member.name)
        folder, _, name = path.rpartition("/")
        if layer and name.startswith(_WHITEOUT):
            parent = self.get(folder)
            if parent is None or not parent.is_dir:
                return
            if name == _OPAQUE:
                _prune(parent, touched)
            else:
                hidden = parent.children.get(name.removeprefix(_WHITEOUT))
                if hidden is not None and id(hidden) not in touched:
                    del parent.children[name.removeprefix(_WHITEOUT)]
            return
        if member.islnk():
            node = self.get(_clean(member.linkname), follow=False)
            if node is None:
                raise ImageError(f"hard link {path} to {member.linkname}, which does not exist")
            if node.is_dir:  # a directory could come to lie in itself
                raise ImageError(f"hard link {path} to {member.linkname}, which is a directory")
        else:
            node = _from_member(member, latest)
            if member.isreg():
                source = tar.extractfile(member)
                assert source is not None
                node.content = self._store(source)
        if node.is_dir:
            existing = self.get(path, follow=not layer)
            if existing is not None and existing.is_dir:
                for name in ("mode", "uid", "gid", "mtime", "xattrs"):
                    setattr(existing, name, getattr(node, name))
                for _, passed in self._locate(path, follow=not layer) or []:
                    touched[id(passed)] = passed
                return
        for _, passed in self._place(path, node):
            touched[id(passed)] = passed

    # --- writing ---

    def write_tar(self, out: Sink) -> None:
        """Write the tree as one tar file (pax); equal trees give equal bytes."""
        first_names: dict[int, str] = {}
        for path, node in [("./", self.root), *self.walk()]:
            first = first_names.setdefault(id(node), path)
            link = first if first != path else ""
            out.write(_header(path, node, link))
            if node.content and not link:
                for chunk in node.content.chunks():
                    out.write(chunk)
                out.write(bytes(-node.content.size % 512))
        out.write(bytes(1024))

    # --- inside ---

    def _locate(self, path: str, follow: bool) -> list[tuple[str, Node]] | None:
        """The (name, node) from the root to ``path``; None when a part does not exist."""
        trail = [("", self.root)]
        pending = _parts(path)[::-1]
        links = 0
        while pending:
            name = pending.pop()
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            child = trail[-1][1].children.get(name)
            if child is None:
                return None
            if child.is_link and (pending or follow):
                links += 1
                if links > _MAX_LINKS:
                    return None
                if child.target.startswith("/"):
                    del trail[1:]
                pending.extend(_parts(child.target)[::-1])
            else:
                trail.append((name, child))
        return trail

    def _place(self, path: str, node: Node) -> list[tuple[str, Node]]:
        """Put ``node`` at ``path``; returns the (name, node) from the root to it."""
        parts = _parts(path)
        if not parts or parts[-1] == "..":
            raise ImageError(f"{path!r} cannot be the name of a file")
        trail = [("", self.root)]
        for depth, _ in enumerate(parts[:-1], start=1):
            prefix = "/".join(parts[:depth])
            found = self._locate(prefix, follow=True)
            if found is None or not found[-1][1].is_dir:
                if self.get(prefix, follow=False) is not None:
                    raise ImageError(f"{path}: {prefix} exists and is not a directory")
                made = Node(stat.S_IFDIR | 0o755)
                trail[-1][1].children[parts[depth - 1]] = made
                found = [*trail, (parts[depth - 1], made)]
            trail = found
        trail[-1][1].children[parts[-1]] = node
        return [*trail, (parts[-1], node)]

    def _store(self, source: IO[bytes]) -> Content:
        spool = self._open_spool()
        with disk_errors(self._directory):
            start = spool.seek(0, os.SEEK_END)
            while data := source.read(_CHUNK):
                spool.write(data)
            spool.flush()
        return Content(spool, start, spool.tell() - start)

    def _store_bytes(self, data: bytes) -> Content:
        spool = self._open_spool()
        with disk_errors(self._directory):
            start = spool.seek(0, os.SEEK_END)
            spool.write(data)
            spool.flush()
        return Content(spool, start, len(data))

    def _open_spool(self) -> IO[bytes]:
        if self._spool is None:
            with disk_errors(self._directory):
                self._spool = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
        return self._spool


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _clean(name: str) -> str:
    """A tar member's name as a path inside the tree; no way leads out of it."""
    return os.path.normpath("/" + name).lstrip("/")


def _walk(prefix: str, directory: Node) -> Iterator[tuple[str, Node]]:
    for name in sorted(directory.children, key=os.fsencode):
        child = directory.children[name]
        yield prefix + name, child
        if child.is_dir:
            yield from _walk(f"{prefix}{name}/", child)


def clone(node: Node, clones: dict[int, Node]) -> Node:
    """A copy of ``node`` and all below it; hard links stay hard links (``clones``, by id).

    Contents are shared, not copied.
    """
    if id(node) not in clones:
        children = {name: clone(child, clones) for name, child in node.children.items()}
        clones[id(node)] = replace(node, xattrs=dict(node.xattrs), children=children)
    return clones[id(node)]


def _merge(base: Node, other: Node) -> None:
    for name, child in other.children.items():
        existing = base.children.get(name)
        if existing is not None and existing.is_dir and child.is_dir:
            existing.mode, existing.uid, existing.gid = child.mode, child.uid, child.gid
            existing.mtime, existing.xattrs = child.mtime, child.xattrs
            _merge(existing, child)
        else:
            base.children[name] = child


def _prune(directory: Node, touched: dict[int, Node]) -> None:
    """Remove from an opaque directory all that the present layer did not put there."""
    for name, child in list(directory.children.items()):
        if id(child) not in touched:
            del directory.children[name]
        elif child.is_dir:
            _prune(child, touched)


def _from_member(member: tarfile.TarInfo, latest: int | None) -> Node:
    if member.isreg():
        kind = stat.S_IFREG
    elif member.isdir():
        kind = stat.S_IFDIR
    elif member.issym():
        kind = stat.S_IFLNK
    elif member.ischr():
        kind = stat.S_IFCHR
    elif member.isblk():
        kind = stat.S_IFBLK
    elif member.isfifo():
        kind = stat.S_IFIFO
    else:
        raise ImageError(f"tar entry {member.name} has the unknown type {member.type!r}")
    mtime = _instant(member.mtime)
    return Node(
        kind | (0o777 if member.issym() else member.mode & 0o7777),
        member.uid,
        member.gid,
        mtime if latest is None else min(mtime, latest),
        {
            key.removeprefix(_XATTR): value.encode("utf-8", "surrogateescape")
            for key, value in member.pax_headers.items()
            if key.startswith(_XATTR)
        },
        member.linkname if member.issym() else "",
        (member.devmajor, member.devminor) if member.ischr() or member.isblk() else (0, 0),
    )


def _instant(written: float) -> int:
    """A time as a header has room for it, whatever an archive says: it may even be no number."""
    return int(min(max(written, 0), _LATEST)) if not math.isnan(written) else EPOCH


_TYPES = {
    stat.S_IFREG: b"0",
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: b"5",
    stat.S_IFIFO: b"6",
}


def _header(path: str, node: Node, hard_link: str) -> bytes:
    """The tar header blocks of one entry: ustar, with a pax header for what does not fit.

    Written here, not by :mod:`tarfile`, whose pax output differs between versions of Python and
    cannot carry binary attribute values without an option that other readers do not know.
    """
    name = os.fsencode(path)
    if node.is_dir and not name.endswith(b"/"):
        name += b"/"
    target = os.fsencode(hard_link or node.target)
    size = node.content.size if node.content and not hard_link else 0
    records: dict[bytes, bytes] = {}
    if len(name) > 100:
        records[b"path"] = name
    if len(target) > 100:
        records[b"linkpath"] = target
    if size >= 8**11:
        records[b"size"] = b"%d" % size
    if node.uid >= 8**7:
        records[b"uid"] = b"%d" % node.uid
    if node.gid >= 8**7:
        records[b"gid"] = b"%d" % node.gid
    if not hard_link:
        for key in sorted(node.xattrs):
            records[os.fsencode(_XATTR + key)] = node.xattrs[key]
    kind = b"1" if hard_link else _TYPES[stat.S_IFMT(node.mode)]
    extra = b""
    if records:
        body = b"".join(_pax_record(key, value) for key, value in records.items())
        extra = _block(b"pax", b"x", 0o644, 0, 0, len(body), node.mtime, b"", (0, 0))
        extra += body + bytes(-len(body) % 512)
    return extra + _block(
        name, kind, stat.S_IMODE(node.mode), node.uid, node.gid, size, node.mtime, target,
        node.device,
    )  # fmt: skip


def _block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    target: bytes,
    device: tuple[int, int],
) -> bytes:
    def octal(number: int, digits: int) -> bytes:
        return b"%0*o\0" % (digits, number % 8**digits)

    fields = [
        name[:100].ljust(100, b"\0"), octal(mode, 7), octal(uid, 7), octal(gid, 7),
        octal(size, 11), octal(mtime, 11), b" " * 8, kind, target[:100].ljust(100, b"\0"),
        b"ustar\00000", bytes(64), octal(device[0], 7), octal(device[1], 7), bytes(167),
    ]  # fmt: skip
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def _pax_record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE\\n``, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest
    while rest + len(str(length)) != length:
        length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)
