"""Where things live that can be made again: images, boot snapshots, the compiled plugin."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from branchpoint.errors import SetupError

_ELSEWHERE = "set BRANCHPOINT_CACHE to a directory that you own"
_FULL = {
    errno.ENOSPC: ("no space left", "free some space, or set BRANCHPOINT_CACHE to a directory "
                   "elsewhere"),
    errno.EDQUOT: ("your quota is used up", "free some space, or set BRANCHPOINT_CACHE to a "
                   "directory elsewhere"),
    errno.EFBIG: ("a file would be larger than is allowed here", "raise the limit (ulimit -f "
                  "unlimited), or set BRANCHPOINT_CACHE to a directory on another file system"),
}  # fmt: skip
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def cache_place() -> Path:
    """The folder for all that can be rebuilt, as it is: there may be none yet.

    ``$BRANCHPOINT_CACHE``, else ``branchpoint`` in the user's cache folder.
    """
    chosen = os.environ.get("BRANCHPOINT_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "branchpoint"
    except RuntimeError:
        raise SetupError("you have no home folder, so there is no cache", _ELSEWHERE) from None


def cache_dir() -> Path:
    """The folder for all that can be rebuilt; made when missing.

    :raises SetupError: when it cannot be made, or nothing can be written there.
    """
    path = cache_place()
    with disk_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return path


def kept_files(folder: str, name: str) -> list[Path]:
    """The files called ``name`` in the folders in ``folder`` of the cache; none without a cache."""
    try:
        return sorted((cache_place() / folder).glob(f"*/{name}"))
    except OSError:
        return []


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the system says of files of the cache into a :class:`SetupError` that names them.

    ``path`` is named where the system names none: what is written lies below it.
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
