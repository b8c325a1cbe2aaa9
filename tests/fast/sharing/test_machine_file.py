"""A machine as a file: what was exported is imported byte for byte, and nothing else is."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from branchpoint import files
from branchpoint.errors import RecordingError
from branchpoint.guest import image, machines
from branchpoint.guest.machines import Machine
from branchpoint.machine import firmware
from branchpoint.sharing.bundle.machines import export, import_machine

FLIPS = 300
SYMBOLS = dict(zip((*image.SYMBOLS, *image.YOUNG), range(1 << 40, 1 << 41, 1 << 33), strict=False))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes an empty cache and uses it from now on."""

    def use(name: str) -> Path:
        monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / name))
        return tmp_path / name

    return use


@pytest.fixture
def made(cache: Callable[[str], Path]) -> Machine:
    folder = cache("here") / "guest" / "made"
    folder.mkdir(parents=True)
    for number, name in enumerate(image.FILES):
        (folder / name).write_bytes(random.Random(number).randbytes(3000) + bytes(9000))
    image.describe(folder, image.digest_of(folder), SYMBOLS, {"linux-image-6.12": "6.12.1"})
    start = firmware.install({name: name.encode() * 50 for name in firmware.FILES})
    return machines.note(image.load(folder), start)


@pytest.fixture
def file(made: Machine, tmp_path: Path) -> Path:
    return export(made, tmp_path / "ours.bpm")


def test_it_is_the_same_machine_elsewhere(
    made: Machine, file: Path, cache: Callable[[str], Path]
) -> None:
    there = cache("there")
    found = import_machine(file)
    assert found.name == made.name
    assert found.image.kernel.is_relative_to(there)
    assert found.firmware.files == made.firmware.files
    assert (found.image.kallsyms, found.image.packages) == (SYMBOLS, made.image.packages)
    for one, other in zip(*([i.kernel, i.initrd, i.toolbox] for i in (found.image, made.image)),
                          strict=True):  # fmt: skip
        assert one.read_bytes() == other.read_bytes()
    assert image.chosen() is None  # new recordings do not use it yet
    assert import_machine(file).name == made.name  # a second time


def test_it_is_imported_by_one_process_at_a_time(
    made: Machine, file: Path, cache: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache("there")
    taken, locked = [], files.locked

    def lock(name: str) -> AbstractContextManager[None]:
        taken.append(name)
        return locked(name)

    monkeypatch.setattr(files, "locked", lock)
    found = import_machine(file)
    assert taken == [f"guest-received-{found.image.digest}"]


def test_equal_machines_are_equal_files(made: Machine, file: Path, tmp_path: Path) -> None:
    assert export(made, tmp_path / "again.bpm").read_bytes() == file.read_bytes()
    with pytest.raises(RecordingError, match="exists already"):
        export(made, file)


def test_one_that_was_changed_anywhere_is_refused_and_leaves_nothing(
    file: Path, cache: Callable[[str], Path]
) -> None:
    there, whole, chance = cache("there"), file.read_bytes(), random.Random(1)
    for _ in range(FLIPS):
        place = chance.randrange(len(whole))
        bad = bytes([whole[place] ^ (1 << chance.randrange(8))])
        file.write_bytes(whole[:place] + bad + whole[place + 1 :])
        with pytest.raises(RecordingError):
            import_machine(file)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(RecordingError):
            import_machine(file)
    file.write_bytes(whole + b"more")
    with pytest.raises(RecordingError, match="bytes instead of"):
        import_machine(file)
    assert machines.known() == [] and list(there.rglob("vmlinuz")) == []


def test_a_bundle_is_no_machine(tmp_path: Path) -> None:
    (tmp_path / "x.bpm").write_bytes(b"PK\3\4 something else")
    with pytest.raises(RecordingError, match="is not a sound"):
        import_machine(tmp_path / "x.bpm")
