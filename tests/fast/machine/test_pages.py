"""The pool of pages, when memory is short."""

from __future__ import annotations

import contextlib
import errno
import os

import numpy as np
import pytest

from branchpoint.machine.pages import HASH, PAGE, PagePool


def test_a_pool_that_could_not_grow_grows_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.arange(3, dtype=np.uint32)
    pages = np.arange(3 * PAGE, dtype=np.uint32).astype(np.uint8).reshape(3, PAGE)
    pages[:, 0] = numbers
    with contextlib.closing(PagePool(np.zeros((3, HASH), np.uint8))) as pool:
        with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):

            def full(fd: int, length: int) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            patch.setattr(os, "ftruncate", full)
            pool.intern(numbers, pages)
        slots = pool.intern(numbers, pages)
        assert (pool.pages(slots) == pages).all() and len(pool) == 3
