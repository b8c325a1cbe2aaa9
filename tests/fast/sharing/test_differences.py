"""Differences between this computer and the one that recorded, and what to do about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import recordings

import branchpoint as bp
from branchpoint.machine.engine import Engine
from branchpoint.sharing.bundle import differences as module
from branchpoint.sharing.bundle.differences import differences
from branchpoint.timeline.directory import RecordingFiles

MADE = Engine(Path("qemu"), "10.0.2", Path("plugin"), "ab" * 32, "cd" * 16)
"""What recordings of tests are made with, according to their manifest."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lists the differences on a computer with a given engine and, by default, all images."""
    path = recordings.make(tmp_path / "x.branchpoint", 1)

    def found(engine: Engine | bp.SetupError = MADE, *, images: bool = True) -> list[str]:
        def find() -> Engine:
            if isinstance(engine, bp.SetupError):
                raise engine
            return engine

        monkeypatch.setattr(module.engine, "find", find)
        for part in (module.image, module.cached):
            monkeypatch.setattr(part, "find", lambda digest: Path("there") if images else None)
        with bp.open(path) as run:
            return differences(run)

    return found


def test_an_equal_computer_has_none(here: Callable[..., list[str]]) -> None:
    assert here() == []


def test_no_emulator_is_fetched_to_open_a_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)
    with RecordingFiles.open(path, write=True) as files:
        machine = msgspec.structs.replace(files.manifest.machine, boot="ef" * 16)
        files.save(files.manifest.with_(machine=machine))
    looked: list[bool] = []
    monkeypatch.setattr(module.engine, "find", lambda: looked.append(True))
    with bp.open(path) as run:
        differences(run)
    assert not looked


def test_what_states_of_older_recordings_lack_is_said(tmp_path: Path) -> None:
    path = recordings.make(tmp_path / "x.branchpoint", 1)
    with RecordingFiles.open(path, write=True) as files:
        older = msgspec.structs.replace(files.manifest.engine, states=1)
        files.save(files.manifest.with_(engine=older))
    with bp.open(path) as run:
        (said, *_) = differences(run)
    assert "lacked the floating-point exception flags" in said and "record" in said


def engine(version: str = "10.0.2", binary: str = "ab" * 32, plugin: str = "cd" * 16) -> Engine:
    return Engine(Path("qemu"), version, Path("plugin"), binary, plugin)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (engine(version="10.1.0", binary="ef" * 32),
         ["QEMU 10.0.2, but this computer has QEMU 10.1.0", "BRANCHPOINT_QEMU"]),
        (engine(plugin="ef" * 16), ["timekeeper cdcdcdcdcdcd", "the Branchpoint that recorded"]),
        (bp.SetupError("no QEMU is here", "install it"),
         ["nothing can be replayed", "no QEMU is here", "install it"]),
    ],
    ids=["version", "plugin", "none"],
)  # fmt: skip
def test_another_emulator_is_named_with_what_to_do(
    here: Callable[..., list[str]], other: Engine | bp.SetupError, words: list[str]
) -> None:
    (said,) = here(other)
    assert all(word in said for word in words)


def test_a_release_of_the_same_series_is_no_difference(here: Callable[..., list[str]]) -> None:
    assert here(engine(version="10.0.13", binary="ef" * 32)) == []


def test_missing_images_are_named_with_what_to_do(here: Callable[..., list[str]]) -> None:
    guest, system = here(images=False)
    assert "guest image 0101" in guest and "branchpoint share --whole" in guest
    assert "system image 0202" in system and "branchpoint image COMPOSE" in system
