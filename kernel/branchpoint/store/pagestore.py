"""The memory pages of a recording, each stored once, found by its content.

Pages are 4096 bytes; their key is the first 16 bytes of their blake3. They are compressed, up to 32
together, in the packs ``pages/NNNNNN.pack`` (see :mod:`frames`): a frame's head is the list of
keys, so that opening a store reads only the heads. A page that is all zero is never stored.

More pages in a chunk would compress better (64: 4 % smaller), but a restore needs single pages of
many chunks and must decompress each whole chunk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import zstandard
from blake3 import blake3
from numpy.typing import NDArray

from branchpoint.decoding import Malformed, unpacked, unpacked_size
from branchpoint.errors import RecordingError
from branchpoint.machine.pages import HASH, PAGE, Hashes, Pages
from branchpoint.store.frames import Damage, Frame, FrameFiles

CHUNK = 32  # pages compressed together
LEVEL = 1  # of zstd: to 0.30 of the size at 0.6 GB/s; level 3: to 0.29 at 0.45 GB/s
PACK_LIMIT = 256 << 20  # bytes in one file
_THREADS = 2  # compression and hashing run outside Python's lock

ZERO = blake3(bytes(PAGE)).digest(HASH)
"""The key of the page that is all zero."""

T = TypeVar("T")
R = TypeVar("R")


class MissingPages(RecordingError):
    """Pages that a checkpoint needs are not, or no longer, in the store."""


def _key_list(hashes: Hashes) -> list[bytes]:
    if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != HASH:
        raise ValueError("page hashes must be uint8[n, 16]")
    joined = np.ascontiguousarray(hashes).view(f"V{HASH}").ravel()
    return joined.tolist()


class PageStore:
    """Keeps pages by content; one writer, and readers that see the pages there when they opened."""

    def __init__(self, directory: int | None, name: str = "pages", *, write: bool) -> None:
        self._files = FrameFiles(
            directory,
            name,
            "pack",
            b"BPpages1",
            write=write,
            file_limit=PACK_LIMIT,
            head_limit=CHUNK * HASH,
            body_limit=CHUNK * PAGE + 4096,
        )
        self._frames: list[Frame] = []
        self._where: dict[bytes, int] = {}  # key -> frame number * CHUNK + place in it
        self.losses = 0
        """How many chunks were found damaged; the store then forgets their pages."""
        self._guard = threading.RLock()
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(_THREADS, "pages")
        for frame in self._files.scan():
            if len(frame.head) % HASH == 0:
                self._note(frame)

    def close(self) -> None:
        self._pool.shutdown()
        self._files.close()

    def __len__(self) -> int:
        """How many different pages are kept."""
        return len(self._where)

    @property
    def damage(self) -> list[str]:
        """What was found damaged so far, as messages."""
        return self._files.damage

    def _note(self, frame: Frame) -> None:
        first = len(self._frames) * CHUNK
        self._frames.append(frame)
        keys = [frame.head[at : at + HASH] for at in range(0, len(frame.head), HASH)]
        self._where.update(zip(keys, range(first, first + CHUNK), strict=False))

    def missing(self, hashes: Hashes) -> int:
        """How many of the pages with these keys the store does not have."""
        where = self._where
        return sum(key not in where and key != ZERO for key in _key_list(hashes))

    def add(self, hashes: Hashes, pages: Pages) -> None:
        """Keep ``pages`` ``[n, 4096]``, whose keys are ``hashes`` ``[n, 16]``.

        Pages that the store has already cost nothing. The keys are trusted here, and checked when
        the pages are read.

        :raises RecordingError: when they cannot be written.
        :raises ValueError: when the arrays have other shapes or types.
        """
        if pages.dtype != np.uint8 or pages.shape != (len(hashes), PAGE):
            raise ValueError("pages must be uint8[n, 4096], one for each hash")
        with self._guard:
            known = self._where
            fresh = {
                key: row
                for row, key in enumerate(_key_list(hashes))
                if key not in known and key != ZERO
            }
            keys, rows = list(fresh), list(fresh.values())
            starts = range(0, len(rows), CHUNK)

            def pack(start: int) -> bytes:
                chunk = np.ascontiguousarray(pages[rows[start : start + CHUNK]])
                return self._compressor().compress(chunk.data)

            for start, body in zip(starts, self._each(pack, starts), strict=True):
                self._note(self._files.append(b"".join(keys[start : start + CHUNK]), body))

    def get(self, hashes: Hashes) -> Pages:
        """The pages with these keys, ``[n, 4096]``, each checked against its key.

        :raises MissingPages: when one is missing or damaged. The store forgets damaged ones, so
            that they can be added again.
        """
        with self._guard:
            keys = _key_list(hashes)
            if not keys:
                return np.empty((0, PAGE), np.uint8)
            where = self._where
            places = np.fromiter(
                (-1 if key == ZERO else where.get(key, -2) for key in keys), np.int64, len(keys)
            )
            lost = int(np.count_nonzero(places == -2))
            if lost:
                raise MissingPages(f"{lost} of {len(keys)} memory pages are not in the recording")
            pages = np.empty((len(keys), PAGE), np.uint8)
            order = np.argsort(places, kind="stable")
            chunks, first = np.unique(places[order] // CHUNK, return_index=True)
            ends = [*first[1:].tolist(), len(keys)]

            def unpack(job: tuple[int, int, int]) -> Damage | None:
                chunk, start, end = job
                rows = order[start:end]
                if chunk < 0:
                    pages[rows] = 0
                    return None
                return self._unpack(chunk, rows, places, keys, pages)

            jobs = list(zip(chunks.tolist(), first.tolist(), ends, strict=True))
            problems = [p for p in self._each(unpack, jobs) if p is not None]
            if problems:
                self.damage.extend(p.message for p in problems)
                self.losses += len(problems)
                raise MissingPages(f"memory pages are lost: {problems[0].message}")
            return pages

    def _unpack(
        self, chunk: int, rows: NDArray[np.int64], places: NDArray[np.int64],
        keys: list[bytes], pages: Pages,
    ) -> Damage | None:  # fmt: skip
        """Put the wanted pages of one chunk in their rows of ``pages``, or say what is wrong."""
        frame = self._frames[chunk]
        count = len(frame.head) // HASH
        try:
            body = self._files.body(frame)
            if unpacked_size(body) != count * PAGE:
                raise Malformed("it does not contain the right number of pages")
            data = unpacked(body, count * PAGE, self._decompressor())
            view = memoryview(data)
            slots = places[rows] - chunk * CHUNK
            for row, slot in zip(rows.tolist(), slots.tolist(), strict=True):
                if blake3(view[slot * PAGE : (slot + 1) * PAGE]).digest(HASH) != keys[row]:
                    raise Malformed("a page does not match its key")
            pages[rows] = np.frombuffer(data, np.uint8).reshape(count, PAGE)[slots]
        except (Damage, Malformed) as problem:
            for key in [frame.head[at : at + HASH] for at in range(0, len(frame.head), HASH)]:
                if self._where.get(key, -1) // CHUNK == chunk:
                    del self._where[key]
            if isinstance(problem, Damage):
                return problem
            return Damage(self._files.file_name(frame.file), frame.offset, str(problem))
        return None

    def sync(self) -> None:
        """Wait until every page that was added is on the disk."""
        self._files.sync()

    def _each(self, work: Callable[[T], R], jobs: Iterable[T]) -> Iterable[R]:
        jobs = list(jobs)
        return self._pool.map(work, jobs) if len(jobs) > 2 else map(work, jobs)

    def _compressor(self) -> zstandard.ZstdCompressor:
        # Two threads must not share a compressor or decompressor.
        if not hasattr(self._local, "compressor"):
            self._local.compressor = zstandard.ZstdCompressor(level=LEVEL)
        found: zstandard.ZstdCompressor = self._local.compressor
        return found

    def _decompressor(self) -> zstandard.ZstdDecompressor:
        if not hasattr(self._local, "decompressor"):
            self._local.decompressor = zstandard.ZstdDecompressor()
        found: zstandard.ZstdDecompressor = self._local.decompressor
        return found
