"""When files may not grow (ulimit -f, quotas), each write says so and leaves nothing half-done."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3
from bundles import bundle, tree
from imagefiles import TestImage, layer, member
from recordings import ORIGIN, SECOND, checkpoint, event, head, make

import branchpoint as bp
from branchpoint.errors import BranchpointError, RecordingError, SetupError
from branchpoint.files import publish
from branchpoint.futures.draws import Draw, Draws, Question
from branchpoint.guest.tree import Tree
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.system.images.archive import open_archive
from branchpoint.timeline.directory import Future, RecordingFiles

QUESTION = Question(failure="exit:*", failure_key="ab", horizon=5, relative=True)


@contextlib.contextmanager
def largest(size: int) -> Iterator[None]:
    """No file of this process may become larger than this many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    path.mkdir()
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(path))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "run.branchpoint", 2)


def refuse(act: Callable[[], object], size: int, match: str, kind: type = RecordingError) -> None:
    """An action that must report that a file cannot grow."""
    with pytest.raises(kind, match=match) as caught, largest(size):
        act()
    assert caught.value.hint


@pytest.mark.parametrize("size", [0, 100, 900])
def test_a_recording_that_cannot_be_begun_leaves_nothing(tmp_path: Path, size: int) -> None:
    path = tmp_path / "new.branchpoint"
    refuse(
        lambda: RecordingFiles.create(path, head()), size,
        r"new\.branchpoint/recording\.json(\.bak)? cannot be written: File too large",
    )  # fmt: skip
    assert not path.exists()


def act_events(files: RecordingFiles) -> None:
    """What was stored by the first attempt is kept for the second."""
    if not files.events._waiting:
        files.events.add(
            event(1.995 + n / 100_000, blake3(b"%d" % n).hexdigest()) for n in range(500)
        )
    files.events.flush()


def act_save(files: RecordingFiles) -> None:
    files.save(head(compose="x" * 20_000))


def act_checkpoint(files: RecordingFiles) -> None:
    files.add_checkpoint(*checkpoint(ORIGIN + 9 * SECOND, None, 9))


def act_future(files: RecordingFiles) -> None:
    files.add_future(Future(id="b2", parent=None, at=ORIGIN, note="x" * 20_000))


def act_draw(files: RecordingFiles) -> None:
    draws = Draws(files, QUESTION)
    for seed in range(200):
        draws.add(Draw(at=ORIGIN, seed=seed, verdict="passed", end=ORIGIN + 1))


@pytest.mark.parametrize("act", [act_events, act_save, act_checkpoint, act_future, act_draw])
def test_what_cannot_be_added_to_a_recording_harms_nothing(
    path: Path, act: Callable[[RecordingFiles], None]
) -> None:
    before = set(tree(path))
    with RecordingFiles.open(path, write=True) as files:
        refuse(lambda: act(files), 8000, "cannot be written: File too large")
        act(files)  # with more room it works
    with bp.open(path) as run:
        assert run.warnings == []
        assert len(run.events) == 200 + 500 * (act is act_events)
    assert not [name for name in set(tree(path)) - before if ".new" in name]


@pytest.mark.parametrize("size", [0, 300, 3000])
def test_a_bundle_that_cannot_be_written_is_not_there(path: Path, size: int) -> None:
    with bp.open(path) as run:
        before = set(tree(path.parent))
        refuse(lambda: bp.share(run, path.parent / "out.bpz"), size,
               r"out\.bpz cannot be written: File too large")  # fmt: skip
        assert set(tree(path.parent)) == before
        bp.share(run, path.parent / "out.bpz")


@pytest.mark.parametrize("form", ["json", "csv", "html"])
def test_an_export_that_cannot_be_written_is_not_there(path: Path, form: str) -> None:
    with bp.open(path) as run:
        bp.export(run, path.parent / f"first.{form}")
        before = set(tree(path.parent))
        refuse(lambda: bp.export(run, path.parent / f"x.{form}"), 1000,
               rf"x\.{form} cannot be written: File too large")  # fmt: skip
        assert set(tree(path.parent)) == before


@pytest.mark.parametrize("size", [0, 200, 2000])
def test_a_bundle_that_cannot_be_unpacked_leaves_nothing(tmp_path: Path, size: int) -> None:
    made = bundle(tmp_path)
    there = tmp_path / "there"
    there.mkdir()
    good = Path(made.rename(there / made.name))
    refuse(lambda: unpack(good), size, r"triage\.branchpoint cannot be written: File too large")
    assert [each.name for each in there.iterdir()] == ["triage.bpz"]


IMAGE = TestImage([layer(member("etc"), member("etc/big", bytes(range(256)) * 100))])


def act_image(folder: Path) -> None:
    with open_archive(folder / "image.tar") as archive:
        archive.unpack()


def act_tree(folder: Path) -> None:
    Tree().add_file("x", bytes(20_000))


def act_publish(folder: Path) -> None:
    from branchpoint.cache import cache_dir

    with publish(cache_dir() / "made") as path:
        path.write_bytes(bytes(20_000))


@pytest.mark.parametrize("act", [act_image, act_tree, act_publish])
def test_what_cannot_be_put_into_the_cache_leaves_nothing_there(
    tmp_path: Path, cache: Path, act: Callable[[Path], None]
) -> None:
    IMAGE.docker(tmp_path / "image.tar")
    refuse(lambda: act(tmp_path), 8000, "a file would exceed the file size limit", SetupError)
    assert list(cache.iterdir()) == []


def test_a_file_that_is_saved_here(path: Path) -> None:
    from branchpoint.timeline.commands.files import write_here

    with pytest.raises(BranchpointError, match="cannot be written: File too large"), largest(100):
        write_here(path.parent / "x", bytes(200))
