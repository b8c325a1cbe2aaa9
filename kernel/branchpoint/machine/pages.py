"""Memory pages by content: every distinct page is held once, however many states share it."""

from __future__ import annotations

import mmap
import os
import threading

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

PAGE = 4096
HASH = 16
"""Bytes of BLAKE3 that name a page."""
TEMPLATE = np.uint32(0xFFFFFFFF)
"""The slot that stands for "as in the boot snapshot"."""
_GROW = 4096  # slots added at once
_WRITE = 4096  # pages written at once

Slots = NDArray[np.uint32]
Hashes = NDArray[np.uint8]  # shape (n, 16)
Pages = NDArray[np.uint8]  # shape (n, 4096)


def hash_pages(pages: Pages) -> Hashes:
    """The hash of each of ``n`` pages, shape (n, 16)."""
    flat = np.ascontiguousarray(pages).reshape(-1).data
    joined = b"".join(
        blake3(flat[at : at + PAGE]).digest(length=HASH) for at in range(0, len(flat), PAGE)
    )
    return np.frombuffer(joined, np.uint8).reshape(-1, HASH)


class PagePool:
    """Distinct pages in one anonymous file, from which emulators restore states.

    ``template_hashes`` (pages of the machine, 16) lets a page that is as in the boot snapshot be
    recognised, so that equal states have equal slots. Safe between threads.
    """

    def __init__(self, template_hashes: Hashes) -> None:
        self.template_hashes = template_hashes
        self.fd = os.memfd_create("branchpoint-pages")
        self._capacity = 0
        self._used = 0
        self._map: mmap.mmap | None = None
        self._hashes = np.empty((0, HASH), np.uint8)
        self._slot_of: dict[bytes, int] = {}
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._used * PAGE

    def __len__(self) -> int:
        return self._used

    def _reserve(self, slots: int) -> None:
        if self._used + slots <= self._capacity:
            return
        capacity = self._used + max(slots, _GROW, self._capacity // 2)
        os.ftruncate(self.fd, capacity * PAGE)
        if self._map is None:
            self._map = mmap.mmap(self.fd, capacity * PAGE)
        else:
            self._map.resize(capacity * PAGE)
        hashes = np.empty((capacity, HASH), np.uint8)
        hashes[: self._used] = self._hashes[: self._used]
        self._hashes = hashes
        self._capacity = capacity  # last: where memory is short, the next call begins again

    def intern(self, numbers: Slots, pages: Pages, hashes: Hashes | None = None) -> Slots:
        """The slot of each page; ``numbers`` says where in the machine each of them lies."""
        if hashes is None:
            hashes = hash_pages(pages)
        slots = np.empty(len(pages), np.uint32)
        same = (hashes == self.template_hashes[numbers]).all(axis=1)
        slots[same] = TEMPLATE
        with self._lock:
            self._reserve(len(pages) - int(same.sum()))
            self._add(np.flatnonzero(~same), pages, hashes, slots)
        return slots

    def _add(self, which: NDArray[np.intp], pages: Pages, hashes: Hashes, slots: Slots) -> None:
        keys = hashes.tobytes()
        new: dict[bytes, int] = {}
        rows: list[int] = []
        for i in which.tolist():
            key = keys[i * HASH : (i + 1) * HASH]
            slot = self._slot_of.get(key)
            if slot is None:
                slot = new.get(key)
            if slot is None:
                slot = new[key] = self._used + len(rows)
                rows.append(i)
            slots[i] = slot
        # Not through the mapping, where every page that is new would be a fault of its own.
        for start in range(0, len(rows), _WRITE):
            part = np.ascontiguousarray(pages[rows[start : start + _WRITE]])
            os.pwrite(self.fd, part.data, (self._used + start) * PAGE)
        self._hashes[self._used : self._used + len(rows)] = hashes[rows]
        self._slot_of.update(new)
        self._used += len(rows)

    def known(self, hashes: Hashes) -> NDArray[np.bool_]:
        """Which of these pages the pool holds already."""
        keys = hashes.tobytes()
        return np.fromiter(
            (keys[at : at + HASH] in self._slot_of for at in range(0, len(keys), HASH)),
            bool,
            len(hashes),
        )

    def slots_of(self, numbers: Slots, hashes: Hashes) -> Slots:
        """The slots of pages that are known to be held (see :meth:`known`)."""
        same = (hashes == self.template_hashes[numbers]).all(axis=1)
        keys = hashes.tobytes()
        slots = np.full(len(hashes), TEMPLATE, np.uint32)
        for i in np.flatnonzero(~same).tolist():
            slots[i] = self._slot_of[keys[i * HASH : (i + 1) * HASH]]
        return slots

    def hashes(self, slots: Slots) -> Hashes:
        return self._hashes[slots]

    def pages(self, slots: Slots) -> Pages:
        """A copy of the pages in these slots."""
        if self._map is None:
            return np.empty((0, PAGE), np.uint8)
        with self._lock:
            whole = np.frombuffer(self._map, np.uint8).reshape(-1, PAGE)
            taken: Pages = whole[slots]
            del whole  # a live view would forbid resizing the map
        return taken

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
            self._map = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
