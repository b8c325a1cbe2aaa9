"""Recordings whose futures run in other processes, or on other computers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import recordings

import branchpoint as bp
from branchpoint.errors import RecordingError
from branchpoint.futures.recording import Recording
from branchpoint.futures.running import parcels
from branchpoint.futures.running.messages import setup_for
from branchpoint.timeline.directory import RecordingFiles

FAILS = bp.failure("exit:a.1")


def opened(path: Path) -> Recording:
    return Recording(RecordingFiles.open(path, keep=True), lambda: pytest.fail("not needed"))


def test_another_recording_in_its_place_is_noticed(tmp_path: Path) -> None:
    """Workers would open that one, and count its futures as this one's."""
    path = recordings.make(tmp_path / "x.branchpoint")
    with opened(path) as run:
        assert Path(setup_for(run, FAILS, 1, relative=False, noise=None).recording) == path
        path.rename(tmp_path / "old.branchpoint")
        for use in (lambda: setup_for(run, FAILS, 1, relative=False, noise=None),
                    lambda: parcels.parcels(run)):  # fmt: skip
            with pytest.raises(RecordingError, match="is not there: it was moved or replaced"):
                use()
        recordings.make(path)
        with pytest.raises(RecordingError, match="is another recording now"):
            setup_for(run, FAILS, 1, relative=False, noise=None)


def test_one_without_checkpoints_can_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that came as a bundle. Up to the images, which are not here, all goes well."""
    path = recordings.make(tmp_path / "x.branchpoint")
    for name in ("checkpoints", "pages"):
        shutil.rmtree(path / name)
    monkeypatch.setattr(parcels.image, "find", lambda digest: tmp_path)
    monkeypatch.setattr(parcels.cached, "find", lambda digest: tmp_path)
    reached = Exception("the snapshot is asked for")

    def snapshot() -> None:
        raise reached

    with (
        Recording(RecordingFiles.open(path, keep=True), snapshot) as run,  # type: ignore[arg-type]
        pytest.raises(Exception, match="the snapshot is asked for") as found,
    ):
        parcels.parcels(run)
    assert found.value is reached
