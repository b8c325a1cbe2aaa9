"""Append-only lists of small facts: JSON lines that each carry a digest of themselves.

A line is 32 hexadecimal digits (blake3, 16 bytes), a space, and JSON. A line that was cut off or
changed is left out and named; the others count.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import Generic, TypeVar

import msgspec
from blake3 import blake3

from branchpoint.decoding import Malformed, from_json
from branchpoint.errors import RecordingError
from branchpoint.timeline.disk import INTACT, explained, read_file, write_all

T = TypeVar("T", bound=msgspec.Struct)
_DIGITS = 32
_LIMIT = 1 << 28  # bytes of a whole file
_NAMED = 20  # damaged lines that are named one by one: there can be millions


class Ledger(Generic[T]):
    """The file ``name`` in a directory, whose lines are structs of one ``type``."""

    def __init__(self, directory: int, name: str, type: type[T], shown: str) -> None:
        self.damage: list[str] = []
        self._directory = directory
        self._name = name
        self._type = type
        self._shown = shown

    def read(self) -> list[T]:
        """Every good line, oldest first; the others are noted in ``damage``."""
        return [fact for _, fact in self._good()]

    def sound(self) -> bytes:
        """The file without what is damaged in it."""
        return b"".join(line for line, _ in self._good())

    def _good(self) -> Iterator[tuple[bytes, T]]:
        """Every good line, and what it says."""
        self.damage.clear()
        bad = 0
        for number, whole in enumerate(io.BytesIO(self._content()), 1):
            line = whole.removesuffix(b"\n")
            digest, space, body = line[:_DIGITS], line[_DIGITS : _DIGITS + 1], line[_DIGITS + 1 :]
            if not line:
                continue
            try:
                if space != b" " or blake3(body).hexdigest(16).encode() != digest:
                    raise Malformed("it does not match its digest")
                yield line + b"\n", from_json(body, self._type)
            except Malformed as problem:
                bad += 1
                if bad <= _NAMED:
                    self.damage.append(f"{self._shown}: line {number} is left out: {problem}")
        if bad > _NAMED:
            self.damage.append(f"{self._shown}: {bad - _NAMED} more lines are left out")

    def _content(self) -> bytes:
        try:
            os.stat(self._name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return b""
        try:
            return read_file(self._directory, self._name, self._shown, _LIMIT)
        except RecordingError as problem:
            self.damage.append(problem.message)
            return b""

    def append(self, fact: T) -> None:
        """Add a line; on an error nothing of it stays."""
        body = msgspec.json.encode(fact)
        line = blake3(body).hexdigest(16).encode() + b" " + body + b"\n"
        with explained(f"{self._shown} cannot be written", INTACT):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(self._name, flags, 0o644, dir_fd=self._directory)
            try:
                size = os.fstat(fd).st_size
                if size and os.pread(fd, 1, size - 1) != b"\n":  # a line that was cut off
                    line = b"\n" + line
                try:
                    write_all(fd, line)
                except OSError:
                    with contextlib.suppress(OSError):
                        os.ftruncate(fd, size)
                    raise
            finally:
                os.close(fd)
