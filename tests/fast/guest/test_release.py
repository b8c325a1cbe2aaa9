"""Making the lock of a release, and leaving it on one computer."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from archives import Archive, Computer

from branchpoint.debian import lists, lock
from branchpoint.debian.entry import PackageList
from branchpoint.errors import SetupError
from branchpoint.guest import image, release

GUEST = PackageList("guest", ("kernel",))
ENGINE = PackageList("engine", ("emulator",), lambda name: name != "manual")


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    """A small machine: its lists, the archive they come from, and an empty lock."""
    made = Archive(tmp_path / "archive")
    made.add("kernel")
    made.add("manual")
    made.add("emulator", depends=["manual"])
    Computer(tmp_path / "computer", monkeypatch).use(made.root)
    monkeypatch.setattr(image, "PACKAGES", (GUEST,))
    monkeypatch.setattr(release, "ENGINE", ENGINE)
    monkeypatch.setattr(release, "MACHINE", (GUEST, ENGINE))
    monkeypatch.setattr(lock, "PATH", tmp_path / "lock.json")
    lock.write(lock.Lock("trixie", "amd64"))
    build(monkeypatch, "image")
    return made


def build(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Let images be made of the locked packages and this ``source``; only their digest exists."""

    def ensure_image() -> SimpleNamespace:
        versions = [deb.version for deb in lists.take(GUEST)]
        return SimpleNamespace(digest=f"{source} of {' '.join(versions)}")

    monkeypatch.setattr(image, "built", ensure_image)


def test_a_new_lock_has_what_debian_has_now(archive: Archive) -> None:
    assert list(map(str, release.relock())) == ["emulator 1.0 is new", "kernel 1.0 is new"]
    archive.add("emulator", "2.0", depends=["manual"])
    archive.add("manual", "2.0")
    assert list(map(str, release.relock())) == ["emulator 1.0 is now 2.0"]
    found = lock.read()
    assert [(e.name, e.version) for e in found.packages] == [("emulator", "2.0"), ("kernel", "1.0")]
    assert found.guest == "image of 1.0"
    assert release.relock() == [] and lock.read() == found


def test_another_image_of_the_same_packages_is_stated_anew(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    release.relock()
    before = lock.read()
    archive.add("kernel", "2.0")
    build(monkeypatch, "other")
    assert release.restate() == lock.read().guest == "other of 1.0"
    assert lock.read().packages == before.packages
    release.update()
    with pytest.raises(SetupError, match=r"kernel 1\.0 is now 2\.0[\s\S]*make lock"):
        release.restate()
    assert lock.read().guest == "other of 1.0"


def test_an_update_is_for_this_computer_and_can_be_undone(archive: Archive) -> None:
    release.relock()
    text = lock.PATH.read_text()
    archive.add("kernel", "2.0")
    archive.add("emulator", "2.0", depends=["manual"])
    assert list(map(str, release.update())) == ["emulator 1.0 is now 2.0", "kernel 1.0 is now 2.0"]
    assert list(map(str, release.moved())) == ["kernel 1.0 is now 2.0"]
    assert lock.PATH.read_text() == text
    release.restore()
    assert image.ensure_image().digest == "image of 1.0"
    assert release.moved() == []
