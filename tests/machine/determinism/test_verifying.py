"""`verify` restores every state of a recording: a replay from power-on restores none."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from blake3 import blake3
from places import SMALL

import branchpoint as bp
from branchpoint.events import reports, saying
from branchpoint.store import checkpoints
from branchpoint.store.checkpoints import Checkpoint

pytestmark = pytest.mark.long

DEBUG_REGISTERS = struct.pack(">QQ", 0xFFFF0FF0, 0x400)
"""DR6 and DR7 of a processor that was never debugged; DR0 to DR5 are before them."""


def test_every_checkpoint_is_entered_twice(small: bp.Recording) -> None:
    found = bp.verify(small)
    assert found, str(found)
    assert found.restored == found.restored_afresh == found.restorable
    assert found.restorable == found.checkpoints + 1  # and the state where the recording begins
    assert f"{found.restorable} of {found.restorable} states in one emulator" in str(found)


def test_a_recording_with_the_words_of_an_older_version_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Branchpoint makes the texts of starts and ends; the guest only says their fields."""
    path, said = tmp_path / "old.branchpoint", saying.said

    def said_before(type: str, fields: Mapping[str, str]) -> str:
        return "in other words" if type in saying.TYPES else said(type, fields)

    with monkeypatch.context() as older:
        older.setattr(reports, "said", said_before)
        with bp.record(SMALL, path, seed=1, duration=1) as run:
            assert run.events.where(type="container.start", text="in other words")
    found = bp.verify(path)
    assert found, str(found)
    with bp.open(path) as run:
        assert not run.events.where(text="in other words")


def test_where_there_are_no_checkpoints_those_of_the_replay_are_entered(
    small: bp.Recording, tmp_path: Path
) -> None:
    found = bp.verify(bp.share(small, tmp_path / "thin.bpz"))
    assert found, str(found)
    assert found.checkpoints == 0
    assert found.restored == found.restored_afresh == found.restorable == found.states + 1


def test_a_recording_of_which_no_state_is_known_is_entered_where_it_begins(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    for name in ("checkpoints", "pages"):
        shutil.rmtree(path / name)
    (path / "digests.jsonl").unlink()
    found = bp.verify(path)
    assert found, str(found)
    assert (found.states, found.restored, found.restored_afresh) == (0, 1, 1)


def test_a_checkpoint_that_is_not_the_recordings_is_found_by_entering_it(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    """One register differs. Its digest is correct for it; there is no other digest to compare."""
    path = copy_of(small_path)
    with bp.open(path) as run:
        at = run.files.checkpoints[-3]
        known = run.files.digests.keys() - {at}
        data = debugged(run, at)
        assert data != (path / "checkpoints" / str(at)).read_bytes()
    (path / "checkpoints" / str(at)).write_bytes(data)
    forget(path, at)
    found = bp.verify(path)
    assert found.equal == found.states == len(known)
    assert (found.restored, found.restored_afresh) == (found.restorable - 1,) * 2
    assert len(found.problems) == 2
    when = f"the checkpoint at {(at - run.origin) / 1e9}"[:24]
    assert all(when in each and "in another state" in each for each in found.problems)


def test_a_checkpoint_with_another_digest_than_is_noted_is_not_entered(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    with bp.open(path) as run:
        at = run.files.checkpoints[-3]
        data = debugged(run, at)
    (path / "checkpoints" / str(at)).write_bytes(data)
    with bp.open(path) as run, pytest.raises(bp.RecordingError, match="does not fit"):
        run.at_ns(at + 1000).branch().wait(0.1)


def debugged(run: bp.Recording, at: int) -> bytes:
    """The file of a checkpoint with another DR0, which nothing in the guest reads."""
    genuine = run.files.checkpoint(at)
    devices = bytearray(genuine.devices)
    assert devices.count(DEBUG_REGISTERS) == 1
    place = devices.index(DEBUG_REGISTERS) - 6 * 8
    assert devices[place : place + 32] == bytes(32)
    devices[place + 7] = 1
    state = run.replayer.load(at)
    other = type(state)(at, bytes(devices), state.slots)
    changed = Checkpoint(
        at, genuine.parent, other.digest(run.replayer.pool), 0, other.devices,
        genuine.gfns, genuine.hashes,
    )  # fmt: skip
    return checkpoints.encode(changed)


def forget(path: Path, at: int) -> None:
    """Remove the digest for an instant from a recording."""
    lines = (path / "digests.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line[33:])["at"] != at]
    assert len(kept) == len(lines) - 1
    assert all(blake3(line[33:-1]).hexdigest(16).encode() == line[:32] for line in kept)
    (path / "digests.jsonl").write_bytes(b"".join(kept))
