"""The cache: images, boot snapshots, the compiled plugin. All of it can be built again."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from branchpoint.errors import SetupError

_ELSEWHERE = "set BRANCHPOINT_CACHE to a directory that you own"
_FULL = {
    errno.ENOSPC: ("no space left", "free some space, or set BRANCHPOINT_CACHE to a directory "
                   "elsewhere"),
    errno.EDQUOT: ("your quota is used up", "free some space, or set BRANCHPOINT_CACHE to a "
                   "directory elsewhere"),
    errno.EFBIG: ("a file would exceed the file size limit", "raise the limit (ulimit -f "
                  "unlimited), or set BRANCHPOINT_CACHE to a directory on another file system"),
}  # fmt: skip
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def cache_place() -> Path:
    """The path of the cache folder, which may not exist yet.

    ``$BRANCHPOINT_CACHE``, else ``branchpoint`` in the user's cache folder. Always absolute.

    :raises SetupError: when it is to be in a home folder that does not exist.
    """
    chosen = os.environ.get("BRANCHPOINT_CACHE")
    usual = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if chosen:
            return _absolute(chosen)
        if not usual.is_absolute():  # XDG's specification wants such a one to be ignored
            usual = Path.home() / ".cache"
        return usual / "branchpoint"
    except RuntimeError:
        what = f"there is no folder {chosen}" if chosen else "you have no home folder"
        raise SetupError(f"{what}, so there is no cache", _ELSEWHERE) from None


@cache
def _absolute(chosen: str) -> Path:
    """Where a folder lies that may be named relatively: there it stays, wherever the process goes.

    :raises RuntimeError: when it begins with the home folder of nobody.
    """
    return Path(chosen).expanduser().absolute()


def cache_dir() -> Path:
    """The cache folder; created when missing.

    :raises SetupError: when it cannot be created, or nothing can be written there.
    """
    path = cache_place()
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return path


def kept_files(folder: str, name: str) -> list[Path]:
    """The files called ``name`` in the subfolders of the cache's ``folder``, if there are any."""
    try:
        return sorted((cache_place() / folder).glob(f"*/{name}"))
    except OSError:
        return []


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """In this block, turn the system's errors about cache files into :class:`SetupError`.

    The message names the file, or ``path`` (what is written lies below it) when the system does
    not say which file it was.
    """
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if error.filename else path
        if error.errno in _FULL:
            what, hint = _FULL[error.errno]
            raise SetupError(f"{what} while writing below {path}", hint) from error
        if error.errno in _DENIED:
            raise SetupError(f"not permitted to write {named}", _ELSEWHERE) from error
        if not (named.is_relative_to(cache_place()) or cache_place().is_relative_to(named)):
            raise
        why = error.strerror or str(error)
        raise SetupError(f"the cache cannot be used: {named}: {why}", _ELSEWHERE) from error
