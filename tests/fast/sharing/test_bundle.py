"""A recording and its notebook as one file: it opens unchanged on another computer."""

from __future__ import annotations

import errno
import itertools
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import likelihoods
import pytest
import recordings
from bundles import bundle, notebook, tree
from click.testing import CliRunner

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.sharing.bundle import opening
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.timeline.directory import Future, RecordingFiles


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A bundle in its own folder."""
    return bundle(tmp_path)


def elsewhere(made: Path, name: str = "elsewhere") -> Path:
    """A copy of a bundle in an empty folder."""
    folder = made.parent / name
    folder.mkdir()
    return Path(made.rename(folder / made.name)) if made.exists() else folder


# -- there and back


def test_what_was_recorded_comes_out_of_the_bundle(made: Path) -> None:
    source = RecordingFiles.open(made.parent / "made.branchpoint")
    with source, bp.open(elsewhere(made)) as run:
        assert run.path == made.parent / "elsewhere" / "triage.branchpoint"
        assert run.manifest == source.manifest
        assert run.files.digests == source.digests
        assert run.files.futures == source.futures
        assert len(run.events) == len(source.load_events()[0].columns()) == 300
        assert not [note for note in run.warnings if "damage" in note or "lost" in note]


def test_the_notebook_lies_beside_it(made: Path) -> None:
    opened = unpack(elsewhere(made))
    assert opened.notebook == made.parent / "elsewhere" / "who.ipynb"
    assert opened.notebook.read_bytes() == (made.parent / "who.ipynb").read_bytes()


def test_checkpoints_stay_at_home(made: Path) -> None:
    opened = unpack(elsewhere(made))
    assert {name.partition("/")[0] for name in tree(opened.path)} == {
        "recording.json", "recording.json.bak", "digests.jsonl", "futures.jsonl", "events",
        "curves",
    }  # fmt: skip
    assert made.parent.joinpath("elsewhere", "triage.bpz").stat().st_size < 20_000


def test_what_else_lies_in_the_folder_stays_at_home(made: Path) -> None:
    source = made.parent / "made.branchpoint"
    (source / "secret.txt").write_text("mine")
    (source / "curves" / ".half.json.new").write_text("{")
    (source / "events" / "notes.log").write_text("mine")
    with bp.open(source) as run:
        again = bp.share(run, made.parent / "again.bpz", notebook=made.parent / "who.ipynb")
    assert again.read_bytes() == made.read_bytes()


def test_equal_content_gives_equal_bundles(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = bundle(tmp_path / "one"), bundle(tmp_path / "two")
    assert one.read_bytes() == two.read_bytes()


def test_a_bundle_of_what_came_out_of_a_bundle_is_the_same(made: Path) -> None:
    there = elsewhere(made)
    opened = unpack(there)
    with bp.open(opened.path) as run:
        again = bp.share(run, there.parent / "again.bpz", notebook=opened.notebook)
    assert again.read_bytes() == there.read_bytes()


def test_any_program_for_zip_archives_reads_it(made: Path) -> None:
    with zipfile.ZipFile(made) as found:
        assert found.testzip() is None
        assert found.namelist()[0] == "bundle.json"
        assert {info.compress_type for info in found.infolist()} == {zipfile.ZIP_STORED}
        assert all(stat.S_ISREG(info.external_attr >> 16) for info in found.infolist())


def test_a_damaged_head_is_replaced_by_its_copy(tmp_path: Path) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)
    (path / "recording.json").write_text("spoilt")
    run = bp.Recording(RecordingFiles.open(path), lambda: pytest.fail("nothing is booted"))
    with run, bp.open(elsewhere(bp.share(run))) as opened:
        assert opened.manifest == run.manifest


def test_what_is_still_waiting_to_be_written_is_shared(tmp_path: Path) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)
    with likelihoods.recording(path, []) as run:  # as it is while it is recorded
        run.files.events.add([recordings.event(0.999, "the last word")])
        shared = bp.share(run)
        with bp.open(elsewhere(shared)) as opened:
            assert opened.events.last.text == "the last word"


def test_state_of_widgets_and_times_of_cells_are_not_shared(tmp_path: Path) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)
    source = notebook(tmp_path / "w.ipynb", widgets={"state": {"model": "0f" * 16}})
    with bp.open(path) as run:
        opened = unpack(elsewhere(bp.share(run, notebook=source)))
    assert opened.notebook is not None
    assert "0f0f" not in opened.notebook.read_text() and "sequencer" in opened.notebook.read_text()


# -- nothing is overwritten


def test_no_file_is_replaced_by_a_bundle(made: Path) -> None:
    before = made.read_bytes()
    path = made.parent / "made.branchpoint"
    with bp.open(path) as run, pytest.raises(bp.RecordingError, match=r"triage\.bpz exists"):
        bp.share(run, made)
    assert made.read_bytes() == before


def test_a_second_opening_uses_the_first(made: Path) -> None:
    there = elsewhere(made)
    first = unpack(there)
    places = {path: path.stat().st_ino for path in sorted(there.parent.rglob("*"))}
    assert unpack(there) == first
    assert {path: path.stat().st_ino for path in sorted(there.parent.rglob("*"))} == places


def test_what_was_found_out_since_stays(made: Path) -> None:
    there = elsewhere(made)
    with RecordingFiles.open(unpack(there).path, write=True) as files:
        files.add_future(Future(id="mine", parent=None, at=recordings.ORIGIN))
    with bp.open(there) as run:
        assert "mine" in run.files.futures


def test_another_recording_of_that_name_is_left_alone(made: Path) -> None:
    there = elsewhere(made)
    other = recordings.make(there.parent / "triage.branchpoint", 1)
    before = tree(other)
    with pytest.raises(bp.RecordingError, match="exists already, and is not the recording"):
        unpack(there)
    assert tree(other) == before
    assert unpack(there, there.parent / "mine.branchpoint").path.name == "mine.branchpoint"


def test_a_notebook_that_was_worked_on_is_left_alone(made: Path) -> None:
    there = elsewhere(made)
    mine = there.parent / "who.ipynb"
    mine.write_text("my own work")
    opened = unpack(there)
    assert mine.read_text() == "my own work"
    assert len(opened.notes) == 1 and "who.ipynb" in opened.notes[0]


def test_a_folder_that_cannot_be_written_is_named(made: Path) -> None:
    there = elsewhere(made)
    there.parent.chmod(0o500)
    try:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        with pytest.raises(bp.RecordingError, match=r"triage\.branchpoint cannot be written"):
            unpack(there)
    finally:
        there.parent.chmod(0o700)


def test_two_who_open_it_at_once_get_the_same(made: Path) -> None:
    there = elsewhere(made)
    with ThreadPoolExecutor(4) as several:
        opened = list(several.map(unpack, [there] * 4))
    assert {each.path for each in opened} == {there.with_suffix(".branchpoint")}
    assert sorted(path.name for path in there.parent.iterdir()) == [
        "triage.bpz", "triage.branchpoint", "who.ipynb",
    ]  # fmt: skip


@pytest.mark.parametrize("number", range(6))
def test_a_disk_that_fills_up_leaves_nothing_behind(
    made: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    there = elsewhere(made)
    genuine, writes = opening._write, itertools.count()

    def write(out: BinaryIO, piece: bytes) -> None:
        if next(writes) == number:
            raise OSError(errno.ENOSPC, "No space left on device")
        genuine(out, piece)

    monkeypatch.setattr(opening, "_write", write)
    with pytest.raises(bp.RecordingError, match=r"triage\.branchpoint cannot be written: No space"):
        unpack(there)
    assert [path.name for path in there.parent.iterdir()] == ["triage.bpz"]


def test_a_bundle_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with RecordingFiles.open(path) as files:
        run = bp.Recording(files, lambda: pytest.fail("nothing is booted"))
        with pytest.raises(bp.RecordingError, match=r"x\.bpz cannot be written: No space"):
            bp.share(run)
    assert [each.name for each in tmp_path.iterdir()] == ["x.branchpoint"]


# -- the command line


def test_the_commands_do_the_same(tmp_path: Path) -> None:
    recordings.make(tmp_path / "x.branchpoint", 1)
    notebook(tmp_path / "who.ipynb")
    run = CliRunner().invoke
    shared = run(main, ["share", f"{tmp_path}/x.branchpoint", "--notebook",
                        f"{tmp_path}/who.ipynb", "-o", f"{tmp_path}/t.bpz"])  # fmt: skip
    assert shared.exit_code == 0, shared.output
    assert f"branchpoint open {tmp_path}/t.bpz" in shared.stdout
    opened = run(main, ["open", f"{tmp_path}/t.bpz"])
    assert opened.exit_code == 0 and "three containers" in opened.stdout
    assert "warning: recorded with timekeeper" in opened.stderr
    assert "warning: the system image 0202" in opened.stderr
    again = run(main, ["open", f"{tmp_path}/t.bpz", "-o", f"{tmp_path}/u.branchpoint"])
    assert again.exit_code == 0 and (tmp_path / "u.branchpoint").is_dir()


def test_a_file_that_is_no_bundle_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.bpz").write_text("hello")
    result = CliRunner().invoke(main, ["open", f"{tmp_path}/x.bpz"])
    assert result.exit_code == 1
    assert "x.bpz is not a sound bundle: it does not begin like a bundle" in result.stderr


def test_a_notebook_that_looks_for_another_name_is_noticed(tmp_path: Path) -> None:
    recordings.make(tmp_path / "x.branchpoint", 1)
    path = notebook(tmp_path / "who.ipynb")
    path.write_text(path.read_text().replace("print(who)", "run = bp.open('x.branchpoint')"))
    words = ["share", f"{tmp_path}/x.branchpoint", "--notebook", str(path), "-o"]
    other = CliRunner().invoke(main, [*words, f"{tmp_path}/t.bpz"])
    assert "who.ipynb opens x.branchpoint, but the bundle becomes t.branchpoint" in other.stderr
    same = CliRunner().invoke(main, [*words, f"{tmp_path}/x.bpz"])
    assert same.exit_code == 0 and "but the bundle becomes" not in same.stderr
