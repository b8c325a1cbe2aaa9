"""A recording that one process opens more than once: each user closes only what he opened."""

from __future__ import annotations

import contextlib
import gc
import threading
from pathlib import Path

import pytest
from recordings import make

import branchpoint as bp


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A recording that is not open anywhere."""
    return make(tmp_path / "ten.branchpoint")


def is_free(path: Path) -> bool:
    """Whether this process has closed all its files."""
    return not any(str(path) in link for link in descriptors())


def descriptors() -> list[str]:
    """The targets of the open descriptors of this process."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.append(str(link.readlink()))
    return found


def test_closing_one_opening_leaves_the_others(path: Path) -> None:
    with bp.open(path) as outer:
        moment = outer.at(5)
        with bp.open(path) as inner:
            assert inner == outer and inner.at(5) == moment
        assert inner.closed and not outer.closed
        assert outer.files.keeps and "line 5.0" in [event.text for event in outer.events]
        outer.files.folder("curves")  # it can still write
    assert outer.closed and is_free(path)


def test_one_that_is_closed_twice_takes_nothing_from_the_others(path: Path) -> None:
    outer = bp.open(path)
    with bp.open(path) as inner:
        inner.close()
        inner.close()
    assert inner.closed and not outer.closed and not is_free(path)
    outer.close()
    outer.close()
    assert is_free(path)


def test_the_first_may_be_closed_before_the_second(path: Path) -> None:
    first, second = bp.open(path), bp.open(path)
    first.close()
    assert first.closed and not second.closed
    with bp.open(path) as third:
        assert third == second
    second.close()
    assert is_free(path)


def test_an_error_inside_closes_that_opening_only(path: Path) -> None:
    with bp.open(path) as outer:
        with pytest.raises(ZeroDivisionError), bp.open(path):
            _ = 1 / 0
        assert not outer.closed and not is_free(path)
    with pytest.raises(ZeroDivisionError), bp.open(path):
        _ = 1 / 0
    assert is_free(path)


def test_a_name_that_is_given_to_a_new_opening_again_and_again_keeps_one(path: Path) -> None:
    """Like a cell that opens a recording and is run again; nobody closes anything there."""
    run = bp.open(path)
    gc.collect()  # what other tests left behind
    before = len(descriptors())
    for _ in range(20):
        run = bp.open(path)
    gc.collect()
    assert len(descriptors()) == before
    run.close()
    assert is_free(path)


def test_what_came_of_a_forgotten_opening_keeps_it(path: Path) -> None:
    branch = bp.open(path).at(5).branch()
    gc.collect()
    run = bp.open(path)
    assert branch.run == run and [each.end for each in run.branches] == [branch.end]
    run.close()
    assert not branch.run.closed
    del branch
    gc.collect()
    assert is_free(path)


def test_a_forgotten_recording_can_be_written_again(path: Path) -> None:
    run = bp.open(path)
    del run
    gc.collect()
    assert is_free(path)
    with bp.open(path) as again:
        assert again.files.keeps


def test_a_recording_is_the_same_by_whatever_name(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link.branchpoint"
    link.symlink_to(path)
    monkeypatch.chdir(tmp_path)
    with bp.open(path) as one, bp.open(link) as other, bp.open(path.name) as third:
        assert one == other == third and hash(one) == hash(other)


def test_another_recording_in_its_place_is_another(path: Path) -> None:
    with bp.open(path) as old:
        path.rename(path.with_name("moved.branchpoint"))
        make(path)
        with bp.open(path) as new:
            assert new != old and new.files.keeps
        assert not old.closed


def test_what_is_closed_says_so(path: Path) -> None:
    with bp.open(path) as run:
        branch = run.at(5).branch()
    with pytest.raises(bp.RecordingError, match=r"ten\.branchpoint is closed"):
        branch.wait(1)


def test_threads_open_and_close_as_they_like(path: Path) -> None:
    wrong = []

    def use() -> None:
        for _ in range(30):
            with bp.open(path) as run:
                if run.closed or not run.files.keeps or len(run.events) != 1000:
                    wrong.append(run)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and is_free(path)
