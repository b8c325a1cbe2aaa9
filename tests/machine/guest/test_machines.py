"""A recording outlives its emulator: what boots its machine alike replays it."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from computers import equip_with_images
from places import IDLE

import branchpoint as bp
from branchpoint.cache import cache_dir
from branchpoint.guest import image, snapshot
from branchpoint.machine import engine, firmware
from branchpoint.machine.engine import Engine
from branchpoint.timeline.directory import RecordingFiles

pytestmark = pytest.mark.long

Only = Callable[..., None]
PACKAGE = str(Path(bp.__file__).parents[1])


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Only:
    """Makes the given emulators the only ones of this computer."""

    def use(*engines: Engine) -> None:
        monkeypatch.setattr(engine, "candidates", lambda **_: iter(engines))

    return use


def test_it_says_what_it_needs(small: bp.Recording) -> None:
    made = small.manifest.machine
    assert made.board == "pc-i440fx-10.0"
    assert made.firmware == firmware.pinned().digest
    assert made.boot == small.replayer.snapshot.digest


def test_a_version_number_refuses_nothing(
    small_path: Path, copy_of: Callable[[Path], Path], only: Only
) -> None:
    own = engine.find()
    only(dataclasses.replace(own, version="10.7.3", binary_digest="ab" * 16))
    found = bp.verify(copy_of(small_path))
    assert found, str(found)


def test_the_emulator_of_the_packages_replays_what_another_one_recorded(
    small_path: Path, copy_of: Callable[[Path], Path], only: Only
) -> None:
    """It runs with its own loader and libraries, between the same walls."""
    private = engine.private()
    only(private)
    with bp.open(copy_of(small_path)) as run:
        assert run.replayer.snapshot.engine == private
        assert bp.bash("echo here").run(run.at(1).branch(), "server.1").output == "here\n"
        found = bp.verify(run)
        assert found, str(found)


def test_one_that_boots_the_machine_otherwise_is_not_used(
    small_path: Path, copy_of: Callable[[Path], Path], only: Only, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = engine.find()
    other = dataclasses.replace(own, version="11.0.0", binary_digest="cd" * 16)
    boot = snapshot.ensure_snapshot

    def booted(*machine: object, **more: object) -> snapshot.Snapshot:
        found = boot(*machine, **more)  # type: ignore[arg-type]
        strange = found.engine == other
        return dataclasses.replace(found, digest="0" * 32) if strange else found

    monkeypatch.setattr(snapshot, "ensure_snapshot", booted)
    path = copy_of(small_path)
    only(other, own)
    with bp.open(path) as run:
        assert run.replayer.snapshot.engine == own
    only(other)
    with bp.open(path) as run:  # its boot snapshot was made on this computer before
        assert run.replayer.snapshot.digest == run.manifest.machine.boot
        assert "no emulator here is known to equal" in " ".join(run.warnings)


def test_without_its_firmware_a_recording_asks_for_its_machine(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    with RecordingFiles.open(path, write=True) as files:
        machine = files.manifest.machine
        other = msgspec.structs.replace(machine, firmware="ab" * 16, boot="cd" * 16)
        files.save(files.manifest.with_(machine=other))
    with (
        bp.open(path) as run,
        pytest.raises(bp.RecordingError, match="its firmware is not on this computer") as refused,
    ):
        run.at(1).branch().wait(0.1)
    assert "branchpoint machine import" in refused.value.hint


def test_emulators_that_boot_alike_share_a_snapshot(small: bp.Recording) -> None:
    system = small.replayer.snapshot.spec.modules[-1]
    guest, hardware = image.ensure_image(), small.replayer.snapshot.spec.hardware
    one = snapshot.ensure_snapshot(guest, system, hardware, engine.find())
    other = snapshot.ensure_snapshot(guest, system, hardware, engine.private())
    assert one.digest == other.digest and one.template == other.template
    assert one.template.is_relative_to(cache_dir() / "boot" / one.digest)


def test_a_cache_that_only_its_owner_may_enter_will_do(tmp_path: Path) -> None:
    """Also for root, whose emulator runs as another user."""
    before = os.umask(0o077)
    try:
        equip_with_images(tmp_path / "own")
        environment = {"BRANCHPOINT_CACHE": str(tmp_path / "own"), "PYTHONPATH": PACKAGE}
        words = ["record", IDLE, "-o", tmp_path / "x.branchpoint", "--for", "100ms"]
        done = subprocess.run(
            [sys.executable, "-m", "branchpoint.cli", *words],
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "own").stat().st_mode & 0o777 == 0o700
