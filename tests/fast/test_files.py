"""Locks of the cache: one holder at a time, and nothing of them stays."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

import pytest

from branchpoint.files import locked, publish


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    return tmp_path / "x.lock"


def _awaited(path: Path, waiter: threading.Thread) -> None:
    """Return when a thread waits for the lock of this file."""
    inode = f":{path.stat().st_ino} "
    while waiter.is_alive():
        if any(
            "->" in line and inode in line for line in Path("/proc/locks").read_text().splitlines()
        ):
            return
    raise AssertionError("nobody waits for it")


def test_its_file_goes_with_it(lock: Path) -> None:
    with locked("x"):
        assert lock.exists()
    assert not lock.exists()


def test_its_file_goes_after_an_error(lock: Path) -> None:
    with pytest.raises(ValueError), locked("x"):
        raise ValueError
    assert not lock.exists()


def test_a_cache_that_is_deleted_meanwhile_is_no_error(lock: Path) -> None:
    with locked("x"):
        lock.unlink()


def test_who_waited_for_a_deleted_file_waits_for_the_next(lock: Path) -> None:
    entered = threading.Event()

    def enter() -> None:
        with locked("x"):
            entered.set()

    waiter = threading.Thread(target=enter, daemon=True)
    with lock.open("w") as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        waiter.start()
        _awaited(lock, waiter)
        lock.unlink()
        second = lock.open("w")
        fcntl.flock(second, fcntl.LOCK_EX)
    with second:
        _awaited(lock, waiter)
        assert not entered.is_set()
    waiter.join(timeout=60)
    assert entered.is_set() and not lock.exists()


def test_only_one_holds_it(lock: Path) -> None:
    inside, together = 0, []

    def enter() -> None:
        nonlocal inside
        for _ in range(100):
            with locked("x"):
                inside += 1
                together.append(inside)
                os.sched_yield()
                inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 400


def test_what_is_replaced_goes_when_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "x"
    place.mkdir()
    (place / "old").touch()
    deleted = shutil.rmtree

    def delete(path: Path, **options: bool) -> None:
        assert os.listdir(place) == ["new"]  # noqa: PTH208 - names only
        deleted(path, **options)

    monkeypatch.setattr(shutil, "rmtree", delete)
    with publish(place) as unfinished:
        unfinished.mkdir()
        (unfinished / "new").touch()
    assert os.listdir(tmp_path) == ["x"]  # noqa: PTH208 - names only
