"""The page store: what is put in comes out, or is reported as lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from recordings import pages

from branchpoint.errors import RecordingError
from branchpoint.machine.pages import hash_pages
from branchpoint.store.frames import FrameFiles
from branchpoint.store.pagestore import CHUNK, MissingPages, PageStore


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY)
    yield fd
    os.close(fd)


def test_round_trip_and_order(directory: int) -> None:
    hashes, content = pages(1, 100)
    store = PageStore(directory, write=True)
    store.add(hashes, content)
    order = np.random.default_rng(0).integers(0, 100, 300)
    assert (store.get(hashes[order]) == content[order]).all()
    store.close()
    assert (PageStore(directory, write=True).get(hashes[order]) == content[order]).all()


def test_every_page_once_and_zero_never(directory: int, tmp_path: Path) -> None:
    hashes, content = pages(1, 50)
    store = PageStore(directory, write=True)
    store.add(np.concatenate([hashes, hashes]), np.concatenate([content, content]))
    size = (tmp_path / "000001.pack").stat().st_size
    zero = np.zeros((3, 4096), np.uint8)
    store.add(hashes, content)
    store.add(hash_pages(zero), zero)
    assert len(store) == 50
    assert (tmp_path / "000001.pack").stat().st_size == size
    assert not store.get(hash_pages(zero)).any()
    assert store.get(hashes[:0]).shape == (0, 4096)


def test_unknown_page(directory: int) -> None:
    hashes, content = pages(1, 10)
    store = PageStore(directory, write=True)
    store.add(hashes[:5], content[:5])
    assert store.missing(hashes) == 5
    with pytest.raises(MissingPages, match="5 of 10"):
        store.get(hashes)


def test_pages_that_are_not_what_their_key_says(directory: int) -> None:
    hashes, content = pages(1, 10)
    store = PageStore(directory, write=True)
    store.add(hashes, content[::-1].copy())
    with pytest.raises(MissingPages, match=r"pages/000001\.pack is damaged at byte"):
        store.get(hashes)
    store.add(hashes, content)  # the wrong ones were forgotten
    assert (store.get(hashes) == content).all()


def test_a_block_that_claims_to_be_huge(directory: int, tmp_path: Path) -> None:
    """A zstd header that announces 2**60 bytes must not be believed."""
    hashes, _ = pages(1, 1)
    bomb = zstandard.ZstdCompressor().compress(bytes(1 << 28))
    frames = FrameFiles(
        directory, "pages", "pack", b"BPpages1", write=True,
        file_limit=1 << 20, head_limit=CHUNK * 16, body_limit=1 << 20,
    )  # fmt: skip
    frames.append(hashes.tobytes(), bomb)
    huge = b"\x28\xb5\x2f\xfd\xc0\x00" + (1 << 60).to_bytes(8, "little") + b"\x01\x00\x00"
    frames.append(hash_pages(np.ones((1, 4096), np.uint8)).tobytes(), huge)
    store = PageStore(directory, write=True)
    with pytest.raises(MissingPages):
        store.get(hashes)
    with pytest.raises(MissingPages):
        store.get(hash_pages(np.ones((1, 4096), np.uint8)))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_costs_at_most_its_chunk(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("pages")
    fd = os.open(folder, os.O_RDONLY)
    hashes, content = pages(1, 5 * CHUNK)
    store = PageStore(fd, write=True)
    store.add(hashes, content)
    store.close()
    pack = folder / "000001.pack"
    changed = bytearray(pack.read_bytes())
    at = data.draw(st.integers(0, len(changed) - 1))
    if data.draw(st.booleans()):
        changed[at] ^= 1 << data.draw(st.integers(0, 7))
        chunks_lost = 1
    else:
        del changed[at:]
        chunks_lost = 5 - at * 5 // len(pack.read_bytes())
    pack.write_bytes(changed)
    store = PageStore(fd, write=True)
    good = 0
    for start in range(0, len(hashes), CHUNK):
        part = slice(start, start + CHUNK)
        try:
            assert (store.get(hashes[part]) == content[part]).all()
            good += 1
        except MissingPages:
            pass
    assert good >= 5 - chunks_lost
    store.add(hashes, content)
    store.close()
    again = PageStore(fd, write=True)
    assert (again.get(hashes) == content).all()
    again.close()
    os.close(fd)


def test_a_write_that_was_cut_off_is_no_damage(directory: int, tmp_path: Path) -> None:
    hashes, content = pages(1, 2 * CHUNK)
    store = PageStore(directory, write=True)
    store.add(hashes[:CHUNK], content[:CHUNK])
    first = (tmp_path / "000001.pack").stat().st_size
    store.add(hashes[CHUNK:], content[CHUNK:])
    store.close()
    for length in (first + 1000, first + 60, first + 30, first + 5):
        os.truncate(tmp_path / "000001.pack", length)
        store = PageStore(directory, write=True)
        assert store.damage == []
        assert store.missing(hashes) == CHUNK
        store.close()


def test_a_pack_that_cannot_be_used(directory: int, tmp_path: Path) -> None:
    hashes, content = pages(1, 10)
    with pytest.raises(RecordingError, match="reading only"):
        PageStore(directory, write=False).add(hashes, content)
    with pytest.raises(RecordingError, match="reading only"):
        PageStore(None, write=True).add(hashes, content)
    store = PageStore(directory, write=True)
    (tmp_path / "000001.pack").mkdir()
    with pytest.raises(RecordingError, match=r"pages/000001\.pack cannot be written"):
        store.add(hashes, content)
    store = PageStore(directory, write=True)
    assert store.damage == ["pages/000001.pack is not an ordinary file"]
    store.add(hashes, content)
    assert (store.get(hashes) == content).all()
