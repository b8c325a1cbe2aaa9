"""Files of the project, copied into trees the same way wherever the project lies.

Owners, exact permissions and times of the user's files depend on the checkout, so they are not
copied: copies belong to root (or to the owner that a recipe names), have mode 0644, or 0755 when
executable, and one fixed time. Directories called ``.git`` and ``__pycache__``, recordings and
explorations are left out: they change while the project stays the same.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from blake3 import blake3

from branchpoint.errors import ImageError
from branchpoint.guest.tree import Tree

MAX_BYTES = 4 << 30
MAX_FILES = 100_000
MAX_DEPTH = 200  # levels of directories; what walks a tree calls itself for each
_LEFT_OUT = re.compile(r"\.git|__pycache__|.+\.(branchpoint(\.failed)?|bpx|bpz|bpm)")

Entry = tuple[str, Path, os.stat_result]
"""One file, link or directory: path below the source ("" is the source), path, status."""


def entries(source: Path) -> Iterator[Entry]:
    """(relative path, path, lstat) of ``source`` and all below it, names sorted bytewise.

    :raises ImageError: for what cannot be read or is neither file, directory nor symlink, and for
        more than MAX_FILES files, MAX_BYTES bytes or MAX_DEPTH levels.
    """
    count = size = 0
    pending = [("", source)]
    while pending:
        relative, path = pending.pop()
        if relative.count("/") >= MAX_DEPTH:
            raise ImageError(
                f"{source} has directories more than {MAX_DEPTH} levels deep",
                "does a mount or a program repeat them? name a smaller directory",
            )
        status, names = look(path, follow=path == source)
        pending += [(f"{relative}/{name}".lstrip("/"), path / name) for name in reversed(names)]
        count += 1
        size += status.st_size if stat.S_ISREG(status.st_mode) else 0
        if count > MAX_FILES or size > MAX_BYTES:
            raise ImageError(
                f"{source} has more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB",
                "name a smaller directory",
            )
        yield relative, path, status


def look(path: Path, *, follow: bool) -> tuple[os.stat_result, list[str]]:
    """The status of one file, and the names in it if it is a directory, sorted bytewise.

    :raises ImageError: when it cannot be read or is neither file, directory nor symlink.
    """
    try:
        status = path.stat() if follow else path.lstat()
        kind = stat.S_IFMT(status.st_mode)
        names = os.listdir(path) if kind == stat.S_IFDIR else []  # noqa: PTH208 - names only
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}") from None
    if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise ImageError(f"{path} is neither a file, a directory nor a symbolic link")
    return status, sorted((name for name in names if not is_left_out(name)), key=os.fsencode)


def is_left_out(name: str) -> bool:
    """Whether what has this name is no part of the project."""
    return _LEFT_OUT.fullmatch(name) is not None


def digest(source: Path, found: Iterable[Entry] | None = None) -> str:
    """A digest (hex) of exactly what :func:`copy` would copy: ``found``, or all of ``source``.

    :raises ImageError: as :func:`entries` does.
    """
    whole = blake3()
    for relative, path, status in entries(source) if found is None else found:
        if stat.S_ISREG(status.st_mode):
            content = blake3()
            try:
                content.update_mmap(path)
            except OSError as error:
                raise ImageError(f"{path} cannot be read: {error.strerror}") from None
            what = f"file {bool(status.st_mode & 0o100)} {content.hexdigest()}"
        elif stat.S_ISLNK(status.st_mode):
            what = f"link {path.readlink()}"
        else:
            what = "directory"
        record = f"{relative}\0{what}\0".encode("utf-8", "surrogateescape")
        whole.update(record)
    return whole.hexdigest()


def copy(
    source: Path,
    tree: Tree,
    target: str,
    uid: int = 0,
    gid: int = 0,
    mode: int | None = None,
    found: Iterable[Entry] | None = None,
) -> None:
    """Copy a file or directory to ``target``; ``mode`` is for ``source`` itself only.

    ``found`` are the entries of the source, if not all of them are to be copied.

    :raises ImageError: as :func:`entries` does.
    """
    for relative, path, status in entries(source) if found is None else found:
        place = f"{target}/{relative}" if relative else target
        chosen = mode if not relative else None
        if stat.S_ISREG(status.st_mode):
            usual = 0o755 if status.st_mode & 0o100 else 0o644
            tree.add_file(place, path, usual if chosen is None else chosen, uid, gid)
        elif stat.S_ISLNK(status.st_mode):
            tree.add_symlink(place, str(path.readlink()), uid, gid)
        else:
            tree.add_dir(place, 0o755 if chosen is None else chosen, uid, gid)
