"""Safe file access for recordings: inside one directory, no links, nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from branchpoint.errors import RecordingError

_numbers = itertools.count()  # of files that are being written
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
INTACT = "what was recorded before is intact"
_ADVICE = {
    errno.ENOSPC: "free some space and go on",
    errno.EDQUOT: "free some space and go on",
    errno.EFBIG: "files cannot be that large here: raise the limit (ulimit -f unlimited)",
    errno.EROFS: "choose a directory that you can write to",
    errno.EACCES: "check its owner and its permissions",
}


@contextlib.contextmanager
def explained(what: str, hint: str = "") -> Iterator[None]:
    """In this block, raise the system's errors as RecordingErrors that name ``what``."""
    try:
        yield
    except OSError as problem:
        why = problem.strerror or str(problem)
        raise RecordingError(f"{what}: {why}", advised(problem, hint)) from problem


def advised(problem: OSError, hint: str = "") -> str:
    """``hint``, and advice for this kind of error."""
    return "; ".join(filter(None, (hint, _ADVICE.get(problem.errno or 0))))


def open_directory(path: Path) -> int:
    """A descriptor of a recording's directory, after checking that nothing in it is a link.

    :raises RecordingError: when there is no such directory, it cannot be opened, or it has links.
    """
    try:
        root = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        raise RecordingError(f"there is no recording at {path}") from None
    except NotADirectoryError:
        raise RecordingError(f"{path} is a file; a recording is a directory") from None
    except OSError as problem:
        raise RecordingError(f"{path} cannot be opened: {problem.strerror}") from None
    try:
        _refuse_links(root, str(path), depth=2)
    except BaseException:
        os.close(root)
        raise
    return root


def _refuse_links(directory: int, name: str, depth: int) -> None:
    with explained(f"{name} cannot be read"), os.scandir(directory) as entries:
        for entry in entries:
            inner = f"{name}/{entry.name}"
            kind = entry.stat(follow_symlinks=False).st_mode
            if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                raise RecordingError(
                    f"{inner} is a link or a special file; a recording may have only plain files",
                    "remove it, or get the recording again from its source",
                )
            if stat.S_ISDIR(kind) and depth > 1:
                below = open_inside(directory, entry.name)
                if below is not None:
                    try:
                        _refuse_links(below, inner, depth - 1)
                    finally:
                        os.close(below)


def open_inside(root: int, name: str, *, create: bool = False) -> int | None:
    """A descriptor of the directory ``name`` in ``root``; None when there is none."""
    if create:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=root)
    try:
        return os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=root)
    except FileNotFoundError:
        return None


def lock(root: int) -> bool:
    """Become the only writer of a directory until its descriptor is closed; False: it has one."""
    try:
        fcntl.flock(root, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unlock(root: int) -> None:
    """Let another process become the writer."""
    fcntl.flock(root, fcntl.LOCK_UN)


def check_regular(fd: int, name: str) -> int:
    """The size in bytes of an open file.

    :raises RecordingError: when it is not an ordinary file.
    """
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        raise RecordingError(f"{name} is not an ordinary file")
    return status.st_size


def open_file(directory: int, name: str) -> int:
    """A descriptor for reading ``name``, not following a link."""
    return os.open(name, _READ, dir_fd=directory)


def read_file(directory: int, name: str, shown: str, limit: int, start: int = 0) -> bytes:
    """The content of ``name`` from byte ``start`` on; ``shown`` is its name in errors.

    :raises RecordingError: when it cannot be read, or the whole file has more than ``limit`` bytes.
    """
    with explained(f"{shown} cannot be read"):
        fd = open_file(directory, name)
        try:
            size = check_regular(fd, shown)
            if size > limit:
                raise RecordingError(f"{shown} is too large: {size} bytes, at most {limit}")
            parts = []
            limit -= start
            os.lseek(fd, start, os.SEEK_SET)
            while part := os.read(fd, min(limit, size + 1)):
                parts.append(part)
                limit -= len(part)
                if limit <= 0:
                    break
            return b"".join(parts)
        finally:
            os.close(fd)


def write_file(directory: int, name: str, data: bytes, shown: str, *, sync: bool) -> None:
    """Replace the content of ``name`` atomically: a reader sees the old or the new content.

    With ``sync`` this holds after a power failure too. Several processes may do this at once.

    :raises RecordingError: when it cannot be written.
    """
    temporary = f".{name}.{os.getpid()}-{next(_numbers)}.new"
    with explained(f"{shown} cannot be written", INTACT):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o644, dir_fd=directory)
        try:
            try:
                write_all(fd, data)
                if sync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        if sync:
            os.fsync(directory)


def write_all(fd: int, data: bytes, at: int | None = None) -> None:
    """Write all of ``data``, at the file's current position or from byte ``at``."""
    view = memoryview(data)
    while view:
        if at is None:
            written = os.write(fd, view)
        else:
            written = os.pwrite(fd, view, at)
            at += written
        view = view[written:]
