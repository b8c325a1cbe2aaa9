"""Append-only lists of small facts: JSON lines, each with its own digest.

A line is 32 hexadecimal digits (blake3, 16 bytes), a space, and JSON. A line that was cut off or
changed is skipped and reported; the others are used.

Any number of processes may add lines at the same time. Each writes a whole line at the end of the
file while it holds a lock, which takes microseconds; the lock ends with the process. Readers need
no lock: they read the whole lines, and find later ones at the next reading.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import threading
import time
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec
from blake3 import blake3

from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import RecordingError
from branchpoint.store.disk import INTACT, explained, read_file, write_all

T = TypeVar("T", bound=msgspec.Struct)
_DIGITS = 32
_SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LIMIT = 1 << 28  # bytes of a whole file
_NAMED = 20  # damaged lines that are reported one by one: there can be millions
_PATIENCE = 2.0  # wall seconds to wait for a lock: only a stopped process holds it for so long
_LOOK = 0.005  # wall seconds between two tries


class Ledger(Generic[T]):
    """The file ``name`` in a directory, whose lines are structs of one ``type``."""

    def __init__(self, directory: int, name: str, type: type[T], shown: str) -> None:
        self.damage: list[str] = []
        self._directory = directory
        self._name = name
        self._type = type
        self._shown = shown
        self._guard = threading.Lock()
        self._end = 0  # bytes read so far
        self._lines = 0  # lines in them
        self._bad = 0  # bad ones among these

    def read(self) -> list[T]:
        """Every good line, oldest first; the others are reported in ``damage``."""
        with self._guard:
            self._rewind()
            return [fact for _, fact in self._good()]

    def more(self) -> list[T]:
        """The good lines that any process added since the last :meth:`read` or ``more``."""
        with self._guard:
            return [fact for _, fact in self._good()]

    def sound(self) -> bytes:
        """The content of the file, without damaged lines."""
        with self._guard:
            self._rewind()
            return b"".join(line for line, _ in self._good())

    def _rewind(self) -> None:
        self.damage.clear()
        self._end = self._lines = self._bad = 0

    def _good(self) -> Iterator[tuple[bytes, T]]:
        """Every good line that was not read yet, as bytes and decoded."""
        for whole in io.BytesIO(self._content()):
            line = whole.removesuffix(b"\n")
            digest, space, body = line[:_DIGITS], line[_DIGITS : _DIGITS + 1], line[_DIGITS + 1 :]
            sound = space == b" " and blake3(body).hexdigest(16).encode() == digest
            if whole == line and not sound:  # it is cut off, or being written
                if self._is_cut_off(self._end + len(whole)):
                    self._note(self._lines + 1, "it is cut off")
                return
            self._end += len(whole)
            self._lines += 1
            if not line:
                continue
            try:
                if not sound:
                    raise Malformed("it does not match its digest")
                yield line + b"\n", from_json(body, self._type)
            except Malformed as problem:
                self._bad += 1
                if self._bad <= _NAMED:
                    self._note(self._lines, str(problem))
        if self._bad > _NAMED:
            self.damage[_NAMED:] = [f"{self._shown}: {self._bad - _NAMED} more lines are left out"]

    def _note(self, line: int, problem: str) -> None:
        words = f"{self._shown}: line {line} is left out"
        if not any(known.startswith(f"{words}:") for known in self.damage):
            self.damage.append(f"{words}: {problem}")

    def _is_cut_off(self, size: int) -> bool:
        """Whether the last line is cut off: nobody writes, and there are still ``size`` bytes."""
        with contextlib.suppress(OSError):
            fd = os.open(self._name, os.O_RDONLY | _SAFE, dir_fd=self._directory)
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return os.fstat(fd).st_size == size
            finally:
                os.close(fd)
        return False

    def _content(self) -> bytes:
        """The bytes that were not read yet."""
        try:
            status = os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return b""
        if status.st_size == self._end:
            return b""
        if status.st_size < self._end:
            self._rewind()  # the file was replaced
        try:
            return read_file(self._directory, self._name, self._shown, _LIMIT, self._end)
        except RecordingError as problem:
            if problem.message not in self.damage:
                self.damage.append(problem.message)
            return b""

    def append(self, fact: T) -> None:
        """Add a line; after an error no part of it remains.

        :raises RecordingError: when there is no room for it, or it cannot be written.
        """
        body = msgspec.json.encode(fact)
        line = blake3(body).hexdigest(16).encode() + b" " + body + b"\n"
        with explained(f"{self._shown} cannot be written", INTACT):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | _SAFE
            fd = os.open(self._name, flags, 0o644, dir_fd=self._directory)
            try:
                locked = _locked(fd)
                size = os.fstat(fd).st_size
                if size + len(line) > _LIMIT:  # it would not be read
                    raise RecordingError(
                        f"{self._shown} is full: {size} bytes", f"{INTACT}; remove some of it"
                    )
                if not locked or (size and os.pread(fd, 1, size - 1) != b"\n"):
                    line = b"\n" + line  # to end a line that was cut off
                try:
                    write_all(fd, line)
                except OSError:
                    if locked:  # so no other process has written after it
                        with contextlib.suppress(OSError):
                            os.ftruncate(fd, size)
                    raise
            finally:
                os.close(fd)


def _locked(fd: int) -> bool:
    """Lock the file until it is closed. False: another process holds the lock for too long."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            time.sleep(_LOOK)
        except OSError:
            return False  # a file system without locks
        else:
            return True
