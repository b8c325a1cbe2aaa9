"""Append-only files of checked frames: page packs and event segments consist of them.

A frame is a fixed header, a *head* (small, read when the file is opened) and a *body* (large,
read on demand). Both carry digests, so a scan finds every good frame, whatever happened to its
neighbours: an interrupted write harms nothing before it, a flipped bit costs one frame. Nothing is
ever overwritten; a file whose end is not clean is never appended to again.

Header, 48 bytes, little endian: magic (8), head length (u32), body length (u32), digest of the
body (16), digest of all of this and the head (16). Digests are blake3, cut to 16 bytes.
"""

from __future__ import annotations

import os
import re
import struct
import threading
from collections.abc import Iterator
from typing import NamedTuple

from blake3 import blake3

from branchpoint.errors import RecordingError
from branchpoint.store.disk import (
    INTACT,
    advised,
    check_regular,
    explained,
    open_file,
    write_all,
)

_HEADER = struct.Struct("<8sII16s16s")
_SIGNED = struct.Struct("<8sII16s")  # the part of the header that its own digest covers
_WINDOW = 1 << 20  # bytes read at a time while looking for the next good frame
_TRIES = 10_000  # false starts of frames in a damaged file, before its rest is given up
_OPEN = 64  # files kept open at once


class Frame(NamedTuple):
    """Where one frame lies, and its head."""

    file: int
    offset: int
    """Of the body, in bytes."""
    length: int
    """Of the body, in bytes."""
    digest: bytes
    head: bytes

    @property
    def end(self) -> int:
        return self.offset + self.length


class Damage(RecordingError):
    """A frame that cannot be read any more; has its file and offset."""

    def __init__(self, file: str, offset: int, what: str) -> None:
        super().__init__(f"{file} is damaged at byte {offset}: {what}")
        self.file = file
        self.offset = offset


class FrameFiles:
    """The numbered files of one kind in one directory, e.g. ``pages/000001.pack``.

    Without a directory there is nothing to read. ``damage`` lists, as messages, what a scan found
    damaged.
    """

    def __init__(
        self,
        directory: int | None,
        name: str,
        suffix: str,
        magic: bytes,
        *,
        write: bool,
        file_limit: int,
        head_limit: int,
        body_limit: int,
    ) -> None:
        self.damage: list[str] = []
        self._directory = directory
        self._name = name
        self._suffix = suffix
        self._magic = magic
        self._write = write
        self._file_limit = file_limit
        self._head_limit = head_limit
        self._body_limit = body_limit
        self._ends: dict[int, int] = {}  # file -> bytes up to which it has been scanned
        self._unclean: set[int] = set()  # files that end in something other than a whole frame
        self._open: dict[int, int] = {}
        self._reading = threading.Lock()  # no descriptor is closed while another thread uses it
        self._writing: tuple[int, int] | None = None  # file, descriptor

    def file_name(self, file: int) -> str:
        """The name of a file within the recording, for messages."""
        return f"{self._name}/{file:06d}.{self._suffix}"

    def close(self) -> None:
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()
        if self._writing:
            os.close(self._writing[1])
            self._writing = None

    # Reading

    def scan(self) -> Iterator[Frame]:
        """Every good frame, in the order of writing. Call it once, before anything else."""
        if self._directory is None:
            return
        pattern = re.compile(r"[0-9]{6}\." + re.escape(self._suffix))
        for entry in sorted(os.listdir(self._directory)):  # noqa: PTH208 - by descriptor
            if pattern.fullmatch(entry):
                yield from self._scan_file(int(entry[:6]))

    def body(self, frame: Frame) -> bytes:
        """The frame's body, checked against its digest.

        :raises Damage: when it cannot be read or does not match.
        """
        name = self.file_name(frame.file)
        try:
            with self._reading:
                data = os.pread(self._descriptor(frame.file), frame.length, frame.offset)
        except OSError as problem:
            raise Damage(name, frame.offset, str(problem.strerror)) from None
        if len(data) != frame.length:
            raise Damage(name, frame.offset, "the file ends too early")
        if blake3(data).digest(16) != frame.digest:
            raise Damage(name, frame.offset, "the content does not match its digest")
        return data

    def _descriptor(self, file: int) -> int:
        fd = self._open.get(file)
        if fd is None:
            if len(self._open) >= _OPEN:
                os.close(self._open.pop(next(iter(self._open))))
            assert self._directory is not None
            fd = open_file(self._directory, f"{file:06d}.{self._suffix}")
            self._open[file] = fd
        return fd

    def _scan_file(self, file: int) -> Iterator[Frame]:
        name = self.file_name(file)
        try:
            with explained(f"{name} cannot be read"):
                fd = self._descriptor(file)
                size = check_regular(fd, name)
        except RecordingError as problem:
            self.damage.append(problem.message)
            self._unclean.add(file)
            self._ends[file] = 0
            return
        at = 0
        tries = 0
        while at < size:
            frame = self._frame_at(fd, file, at)
            if frame is not None and frame.end <= size:
                at = self._ends[file] = frame.end
                yield frame
                continue
            found = None
            for start in self._candidates(fd, at + 1, size):
                tries += 1
                if tries > _TRIES:
                    break
                later = self._frame_at(fd, file, start)
                if later is not None and later.end <= size:
                    found = start
                    break
            if found is None:
                if not self._cut_off(fd, at, size):
                    self.damage.append(f"{name} is damaged from byte {at} to its end")
                self._unclean.add(file)
                break
            self.damage.append(f"{name} is damaged from byte {at} to byte {found}")
            at = found
        self._ends[file] = at

    def _cut_off(self, fd: int, at: int, size: int) -> bool:
        """Whether the bytes at ``at`` look like a frame whose end is missing.

        That is normal after a process was killed, so it does not count as damage.
        """
        block = os.pread(fd, _HEADER.size, at)
        if len(block) < _HEADER.size:
            return self._magic.startswith(block[: len(self._magic)])
        magic, head_length, body_length, _, _ = _HEADER.unpack(block)
        end = at + _HEADER.size + head_length + body_length
        return magic == self._magic and end > size

    def _frame_at(self, fd: int, file: int, at: int) -> Frame | None:
        block = os.pread(fd, 4096, at)
        if len(block) < _HEADER.size:
            return None
        magic, head_length, body_length, digest, check = _HEADER.unpack_from(block)
        if magic != self._magic:
            return None
        if head_length > self._head_limit or body_length > self._body_limit:
            return None
        offset = at + _HEADER.size + head_length
        if len(block) < _HEADER.size + head_length:
            block = os.pread(fd, _HEADER.size + head_length, at)
        head = block[_HEADER.size : _HEADER.size + head_length]
        if blake3(block[: _SIGNED.size] + head).digest(16) != check:
            return None
        return Frame(file, offset, body_length, digest, head)

    def _candidates(self, fd: int, start: int, size: int) -> Iterator[int]:
        """Every offset from ``start`` on at which the magic begins."""
        while start < size:
            block = os.pread(fd, _WINDOW, start)
            if len(block) < len(self._magic):
                return
            found = block.find(self._magic)
            while found >= 0:
                yield start + found
                found = block.find(self._magic, found + 1)
            start += len(block) - len(self._magic) + 1

    # Writing

    def append(self, head: bytes, body: bytes) -> Frame:
        """Write one frame at the end; after an error no part of it remains.

        :raises RecordingError: when it cannot be written.
        """
        if self._directory is None or not self._write:
            raise RecordingError(f"{self._name} is open for reading only")
        if len(head) > self._head_limit or len(body) > self._body_limit:
            raise ValueError("frame larger than its reader would accept")
        digest = blake3(body).digest(16)
        signed = _SIGNED.pack(self._magic, len(head), len(body), digest)
        data = signed + blake3(signed + head).digest(16) + head + body
        file, fd = self._writer(len(data))
        start = self._ends.get(file, 0)
        try:
            write_all(fd, data, start)
        except OSError as problem:
            try:
                os.ftruncate(fd, start)
            except OSError:
                self._unclean.add(file)
            raise RecordingError(
                f"{self.file_name(file)} cannot be written: {problem.strerror}",
                advised(problem, INTACT),
            ) from problem
        self._ends[file] = start + len(data)
        offset = start + _HEADER.size + len(head)
        return Frame(file, offset, len(body), digest, head)

    def sync(self) -> None:
        """Wait until everything appended to the current file is on the disk.

        :raises RecordingError: when the disk reports an error.
        """
        if self._writing:
            file, fd = self._writing
            with explained(f"{self.file_name(file)} cannot be written", INTACT):
                os.fsync(fd)

    def _writer(self, size: int) -> tuple[int, int]:
        """The file with room for ``size`` more bytes; call :meth:`scan` before."""
        last = max(self._ends, default=0)
        full = self._ends.get(last, 0) + size > self._file_limit
        number = last if last and not full and last not in self._unclean else last + 1
        if self._writing and self._writing[0] == number:
            return self._writing
        if self._writing:
            os.close(self._writing[1])
            self._writing = None
        flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        if number != last:
            flags |= os.O_CREAT | os.O_EXCL
        with explained(f"{self.file_name(number)} cannot be written", INTACT):
            fd = os.open(f"{number:06d}.{self._suffix}", flags, 0o644, dir_fd=self._directory)
        self._writing = number, fd
        self._ends.setdefault(number, 0)
        return self._writing
