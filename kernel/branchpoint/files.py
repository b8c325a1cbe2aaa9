"""Files in the cache that are whole or not there.

A finished file appears under its name in one step (written beside it, synced, renamed), so a
crash or a full disk leaves no half-written one; :func:`locked` keeps two builds of the same
thing apart.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from branchpoint.cache import cache_dir, disk_errors
from branchpoint.errors import SetupError

_HINT = "free some space, or set BRANCHPOINT_CACHE to a directory elsewhere"


def need_space(path: Path, size: int) -> None:
    """Raise :class:`SetupError` unless ``size`` bytes are free where ``path`` (existing) lies."""
    free = shutil.disk_usage(path).free
    if free < size:
        raise SetupError(
            f"{path} has {free >> 20} MiB free; {size >> 20} MiB are needed to build", _HINT
        )


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock ``name`` of the cache; waits while another process or thread holds it.

    Its file is deleted with it. Who has waited for a file that was deleted meanwhile waits again,
    since somebody else may hold the next file of this name.
    """
    path = cache_dir() / f"{name}.lock"
    with disk_errors(path):
        while True:
            with path.open("w") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if not _names(path, file):
                    continue
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return


def _names(path: Path, file: IO[str]) -> bool:
    """Whether ``path`` is the name of this open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextmanager
def publish(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what was written there becomes ``path``.

    The body writes either one file or one directory there. On an error nothing stays. Everybody who
    may enter the folder of ``path`` may read it, whatever the umask is: root's emulator is nobody.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            unfinished = holder / path.name
            yield unfinished
            for file in [unfinished, *sorted(unfinished.rglob("*"))]:
                _sync(file)
                if not file.is_symlink():
                    file.chmod(file.stat().st_mode | (0o555 if file.is_dir() else 0o444))
            if path.is_dir():  # the remains of one that someone has partly deleted
                path.rename(holder / "old")  # nobody sees even less of it
            unfinished.rename(path)
            _sync(path.parent)
        finally:
            shutil.rmtree(holder, ignore_errors=True)


def _sync(path: Path) -> None:
    if path.is_symlink():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
