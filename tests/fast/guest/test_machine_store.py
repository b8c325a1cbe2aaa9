"""Machines lie side by side in the cache; each is deleted only when nothing needs its parts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3
from guestimages import guest, start

from branchpoint.errors import SetupError
from branchpoint.files import locked
from branchpoint.guest import image, machines
from branchpoint.machine import firmware

SYMBOLS = dict.fromkeys(image.SYMBOLS, 18446744071578845184)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    return tmp_path


def test_firmware_is_named_by_its_content(cache: Path) -> None:
    one, other = start(b"one"), start(b"other")
    assert one.digest != other.digest
    assert firmware.find(one.digest) == one and one.files["kvmvapic.bin"] == b"onekvmvapic.bin"
    assert start(b"one") == one
    (one.folder / "kvmvapic.bin").write_bytes(b"damaged")
    assert firmware.find(one.digest) is None
    assert start(b"one").files["kvmvapic.bin"] == b"onekvmvapic.bin"


def test_only_the_pinned_firmware_can_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    content = {name: f"pinned {name}".encode() for name in firmware.FILES}
    digests = {name: blake3(data).hexdigest(16) for name, data in content.items()}
    monkeypatch.setattr(firmware, "PINNED", digests)
    monkeypatch.setattr(firmware, "_found", lambda root: content)
    digest = firmware.digest_of(content)
    assert firmware.find(digest) is None
    found = firmware.obtain(digest)
    assert found is not None and found.files == content
    assert firmware.obtain("ab" * 16) is None


@pytest.mark.parametrize("names", [[], ["bios-256k.bin"], [*firmware.FILES, "vgabios.bin"]])
def test_firmware_of_other_files_is_refused(names: list[str]) -> None:
    with pytest.raises(ValueError, match="firmware is"):
        firmware.install(dict.fromkeys(names, b""))


def test_each_part_makes_another_machine(cache: Path) -> None:
    one = guest(cache, b"a")
    made = {
        machines.note(one, start(b"1")).name,
        machines.note(one, start(b"2")).name,
        machines.note(one, start(b"2"), "pc-q35-10.0").name,
        machines.note(guest(cache, b"b"), start(b"1")).name,
    }
    assert len(made) == 4
    assert {machine.name for machine in machines.known()} == made


def test_a_machine_is_found_by_the_beginning_of_its_name(cache: Path) -> None:
    made = machines.note(guest(cache, b"a"), start(b"1"))
    assert machines.named(made.name[:6]) == made
    for name in (made.name[:3], "zzzz"):
        with pytest.raises(SetupError, match="with"):
            machines.named(name)


def test_a_machine_of_which_a_part_is_gone_is_not_listed(cache: Path) -> None:
    made = machines.note(guest(cache, b"a"), start(b"1"))
    (made.firmware.folder / "bios-256k.bin").unlink()
    assert machines.known() == []


def test_parts_that_another_machine_has_stay(cache: Path) -> None:
    image_a, image_b, shared = guest(cache, b"a"), guest(cache, b"b"), start(b"1")
    gone, stays = machines.note(image_a, shared), machines.note(image_b, shared)
    shutil.copytree(image_a.kernel.parent, cache / "guest" / "received-again")
    (cache / "boot" / "abcd").mkdir(parents=True)
    size = 2 * image_a.size
    assert machines.remove([gone]) == size
    assert machines.known() == [stays]
    assert image.find(image_a.digest) is None
    assert (cache / "boot" / "abcd").exists(), "a recording may need it"


def test_the_chosen_image_is_that_of_new_recordings(cache: Path) -> None:
    guest(cache, b"a")
    other = guest(cache, b"b")
    image.choose(other.digest)
    assert image.ensure_image() == other
    with pytest.raises(SetupError, match="not on this computer"):
        image.choose("ab" * 16)


def test_firmware_that_somebody_else_puts_there_meanwhile_stays(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {name: name.encode() for name in firmware.FILES}
    folders = []

    @contextmanager
    def late(name: str) -> Iterator[None]:
        monkeypatch.setattr(firmware, "locked", locked)
        folders.append(firmware.install(content).folder.stat().st_ino)
        with locked(name):
            yield

    monkeypatch.setattr(firmware, "locked", late)
    folders.append(firmware.install(content).folder.stat().st_ino)
    assert folders == folders[:1] * 2
