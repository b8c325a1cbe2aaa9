"""Where a new recording goes: what lies there already, and what becomes of one that failed."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Self

from branchpoint.errors import RecordingError
from branchpoint.store import disk
from branchpoint.timeline.directory import MANIFEST, RecordingFiles

_FAILED = ".failed"
_BEFORE = ".before"


class SetUpFailed(RecordingError):
    """The system could not be set up."""


class Place:
    """The place of a recording that is being made.

    With ``force``, a recording that lies there makes room; it comes back unless the new one gets
    as far as :meth:`keep`. A new one that does not is moved to ``failed``, so that it can be looked
    at and is not in the way of the next.
    """

    def __init__(self, path: Path, force: bool) -> None:
        self.path = path
        """Where the new recording is, or was left."""
        self.failed = path.with_name(path.name + _FAILED)
        self._before = path.with_name(f".{path.name}{_BEFORE}")
        self._force = force
        self._kept = False

    def __enter__(self) -> Self:
        if self._force and self.path.exists():
            _check(self.path)
            if self._before.exists() and not _was_set_up(self.path):
                _remove(self.path)  # its recorder was killed: the good one is still aside
            else:
                _remove(self._before)
                self.path.rename(self._before)
        return self

    def keep(self) -> None:
        """The new recording is good: what lay there before is not needed any more."""
        self._kept = True
        if self._force:
            _remove(self._before)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._kept or kind is None:
            return
        new, replaced = self.path, self._force and self._before.exists()
        if new.exists() and (replaced or isinstance(error, SetUpFailed)):
            _remove(self.failed)
            self.path = new.rename(self.failed)
        if replaced:
            self._before.rename(new)


def _check(path: Path) -> None:
    if path.is_symlink() or not (path / MANIFEST).is_file():
        raise RecordingError(
            f"{path} is not a recording, so it is not replaced", "choose another name"
        )
    directory = disk.open_directory(path)
    try:
        if not disk.lock(directory):
            raise RecordingError(
                f"{path} is still open where it was recorded, here or in another process",
                "close it first (its close()), or choose another name",
            )
    finally:
        os.close(directory)


def _was_set_up(path: Path) -> bool:
    with contextlib.suppress(RecordingError), RecordingFiles.open(path) as files:
        head = files.manifest
        return not head.inputs or head.origin > head.inputs[0].at
    return False


def _remove(path: Path) -> None:
    if path.exists():
        _check(path)
        shutil.rmtree(path)
