"""A whole bundle brings the images that a computer lacks, and replaces none that it has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import recordings
from blake3 import blake3
from bundles import Parts, Table, changed
from equipping import equip

import branchpoint as bp
from branchpoint import files as cached_files
from branchpoint.guest import image, snapshot
from branchpoint.guest.image import GuestImage
from branchpoint.guest.snapshot import Snapshot
from branchpoint.machine.pages import PAGE, TEMPLATE, hash_pages
from branchpoint.machine.spec import Hardware, Spec
from branchpoint.machine.state import State
from branchpoint.sharing.bundle.opening import unpack
from branchpoint.store.manifest import Machine
from branchpoint.system.bundle import cached
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.recording import Recording

RAM = 8 << 20
SYSTEM = 4 << 20
SYMBOLS = {"__switch_to_asm": 0xFFFFFFFF81000000, "init_task": 0xFFFFFFFF82000000}


def sparse(path: Path, size: int, seed: int) -> Path:
    """A file that consists mostly of zeros."""
    content = np.zeros(size, np.uint8)
    content[size // 2 : size // 2 + 5000] = np.random.default_rng(seed).integers(1, 255, 5000)
    path.write_bytes(content.tobytes())
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a cache that has an emulator and no images, and uses it from now on."""

    def use(name: str) -> Path:
        path = tmp_path / name
        path.mkdir()
        equip(path)
        monkeypatch.setenv("BRANCHPOINT_CACHE", str(path))
        return path

    return use


@pytest.fixture
def home(cache: Callable[[str], Path]) -> tuple[GuestImage, Path]:
    """A computer that has made a guest image and a system image."""
    folder = cache("home")
    made = folder / "guest" / "made"
    made.mkdir(parents=True)
    for number, name in enumerate(image.FILES):
        sparse(made / name, 2 << 20, number)
    image.describe(made, image.digest_of(made), SYMBOLS)
    system = folder / "systems" / "made"
    system.mkdir(parents=True)
    sparse(system / "system", SYSTEM, 7)
    (system / "digest").write_text(blake3((system / "system").read_bytes()).hexdigest(16))
    return image.load(made), system / "system"


@pytest.fixture
def made(tmp_path: Path, home: tuple[GuestImage, Path]) -> Path:
    """A whole bundle."""
    guest, system = home
    memory = sparse(tmp_path / "memory", RAM, 9)
    pages = np.frombuffer(memory.read_bytes(), np.uint8).reshape(-1, PAGE)
    slots = np.full(RAM // PAGE, TEMPLATE, np.uint32)
    booted = Snapshot(
        spec=Spec(Hardware(RAM), (guest.toolbox, system), *SYMBOLS.values()),
        template=memory,
        hashes=hash_pages(pages),
        state=State(123, b"devices" * 9, slots),
        digest="",
    )
    machine = Machine(
        ram=RAM,
        guest_image=guest.digest,
        system_image=system.with_name("digest").read_text(),
        nvdimm=SYSTEM,
    )
    head = recordings.head(machine=machine)
    path = tmp_path / "whole.branchpoint"
    with RecordingFiles.create(path, head) as files:
        files.events.add([recordings.event(1)])
        files.save(head)
    with Recording(RecordingFiles.open(path), lambda: booted) as run:
        return bp.share(run, tmp_path / "there" / "whole.bpz", whole=True)


@pytest.fixture(autouse=True)
def there(tmp_path: Path) -> Path:
    folder = tmp_path / "there"
    folder.mkdir()
    return folder


def test_an_empty_computer_gets_all_images(
    made: Path, home: tuple[GuestImage, Path], cache: Callable[[str], Path], tmp_path: Path
) -> None:
    guest, system = home
    cache("empty")
    opened = unpack(made)
    found = image.find(guest.digest)
    assert found is not None and found.kernel.is_relative_to(tmp_path / "empty")
    assert found.kallsyms == SYMBOLS
    for one, other in ((found.kernel, guest.kernel), (found.initrd, guest.initrd),
                       (found.toolbox, guest.toolbox)):  # fmt: skip
        assert one.read_bytes() == other.read_bytes()
    mounted = cached.find(system.with_name("digest").read_text())
    assert mounted is not None and mounted.read_bytes() == system.read_bytes()
    assert not (tmp_path / "empty" / "boot").exists()
    with RecordingFiles.open(opened.path) as files:
        assert files.boot == ""


def test_trust_can_be_given_later(made: Path, cache: Callable[[str], Path]) -> None:
    cache("empty")
    opened = unpack(made)
    assert unpack(made, trust=True) == opened
    with RecordingFiles.open(opened.path) as files:
        assert snapshot.is_received(files.boot)
    assert unpack(made) == opened


def test_the_boot_snapshot_is_used_by_its_own_recording_only(
    made: Path, cache: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = cache("empty")
    opened = unpack(made, trust=True)
    with RecordingFiles.open(opened.path) as files:
        name, machine = files.boot, files.manifest.machine
    guest, system = image.find(machine.guest_image), cached.find(machine.system_image)
    assert guest is not None and system is not None
    booted = snapshot.received(name, guest, system, Hardware(RAM))
    assert booted is not None and booted.state.at == 123
    assert booted.state.devices == b"devices" * 9
    memory = (tmp_path / "memory").read_bytes()
    assert booted.template.read_bytes() == memory
    assert (booted.hashes == hash_pages(np.frombuffer(memory, np.uint8).reshape(-1, PAGE))).all()
    # Its name cannot be the name of an image made here, so nobody else gets it.
    assert [path.name for path in (folder / "boot").iterdir()] == [f"received-{name}"]
    (folder / "boot" / f"received-{name}" / "engine").write_text("another")
    assert snapshot.received(name, guest, system, Hardware(RAM)) is None
    other = snapshot.received(name, guest, system, Hardware(RAM), other=True)
    assert other is not None and other.digest == booted.digest


def test_what_is_here_already_is_not_replaced(made: Path, home: tuple[GuestImage, Path]) -> None:
    guest, _ = home
    unpack(made)
    cache = guest.kernel.parents[2]
    assert [path.name for path in (cache / "guest").iterdir()] == ["made"]
    assert [path.name for path in (cache / "systems").iterdir()] == ["made"]


def test_images_that_come_while_a_bundle_waits_are_not_replaced(
    made: Path, cache: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, locked = cache("empty"), cached_files.locked
    copy = shutil.copy(made, tmp_path / "copy.bpz")
    nodes = []

    def received() -> list[int]:
        kinds = ("guest", "systems", "boot")
        found = (each for kind in kinds for each in (folder / kind).glob("received-*"))
        return [each.stat().st_ino for each in found]

    @contextmanager
    def late(name: str) -> Iterator[None]:
        monkeypatch.setattr(cached_files, "locked", locked)
        unpack(copy, trust=True)
        nodes.append(received())
        with locked(name):
            yield

    monkeypatch.setattr(cached_files, "locked", late)
    unpack(made, trust=True)
    assert nodes == [received()] and len(nodes[0]) == 3


def test_images_made_here_come_before_those_that_were_received(
    made: Path, home: tuple[GuestImage, Path], cache: Callable[[str], Path]
) -> None:
    guest, _ = home
    folder = cache("empty")
    unpack(made)
    mine = folder / "guest" / ("f" * 32)
    mine.mkdir()
    for path in guest.kernel.parent.iterdir():
        (mine / path.name).write_bytes(path.read_bytes())
    found = image.find(guest.digest)
    assert found is not None and found.kernel.parent == mine


def test_a_cache_that_was_emptied_is_filled_again(made: Path, cache: Callable[[str], Path]) -> None:
    cache("empty")
    first = unpack(made, trust=True)
    folder = cache("emptied")
    there = set(folder.iterdir())
    assert unpack(made, trust=True) == first
    new = {path.name for path in set(folder.iterdir()) - there if path.is_dir()}
    assert new == {"boot", "guest", "systems"}


def test_images_lie_on_the_disk_with_holes(made: Path, cache: Callable[[str], Path]) -> None:
    folder = cache("empty")
    unpack(made, trust=True)
    memory = next((folder / "boot").rglob("memory"))
    assert memory.stat().st_size == RAM
    assert memory.stat().st_blocks * 512 < RAM // 2


def test_a_whole_bundle_can_be_shared_on(made: Path, cache: Callable[[str], Path]) -> None:
    cache("empty")
    opened = unpack(made, trust=True)
    with bp.open(opened.path) as run:
        again = bp.share(run, made.parent / "thin.bpz")
    assert again.stat().st_size < 10_000
    assert unpack(again, made.parent / "thin.branchpoint").path.is_dir()


# -- harm


def guest(table: Table, parts: Parts) -> None:
    parts["guest/vmlinuz"] = parts["guest/vmlinuz"][:-1] + b"!"


def system(table: Table, parts: Parts) -> None:
    parts["system/system"] = parts["system/system"][:-1] + b"!"


def small_system(table: Table, parts: Parts) -> None:
    parts["system/system"] = parts["system/system"][:-1]


def memory(table: Table, parts: Parts) -> None:
    parts["boot/memory"] += bytes(PAGE)


def lacking(table: Table, parts: Parts) -> None:
    del parts["boot/devices"]


def address(table: Table, parts: Parts) -> None:
    table["symbols"]["task"] = -1


@pytest.mark.parametrize(
    ("harm", "said"),
    [(guest, "its guest image is not the one"), (system, "its system image is not the one"),
     (small_system, "another size"), (memory, "another size"), (lacking, "boot/devices"),
     (address, "task")],
)  # fmt: skip
def test_images_that_are_not_what_was_recorded_with_are_refused(
    made: Path, cache: Callable[[str], Path], harm: Callable[[Table, Parts], None], said: str
) -> None:
    folder = cache("empty")
    bad = changed(made, made.parent / "bad.bpz", harm)
    with pytest.raises(bp.RecordingError, match=said):
        unpack(bad, trust=True)
    assert sorted(path.name for path in made.parent.iterdir()) == ["bad.bpz", "whole.bpz"]
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_a_late_flaw_leaves_no_image_behind(made: Path, cache: Callable[[str], Path]) -> None:
    folder = cache("empty")
    data = bytearray(made.read_bytes())
    data[-1] ^= 1  # in the index, which comes last
    made.write_bytes(data)
    with pytest.raises(bp.RecordingError, match="its index is damaged"):
        unpack(made, trust=True)
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_the_name_of_a_boot_snapshot_cannot_lead_elsewhere(
    made: Path, cache: Callable[[str], Path]
) -> None:
    cache("empty")
    opened = unpack(made)
    for name in ("../../x", "/etc", "a" * 31, "", json.dumps({})):
        (opened.path / "boot").write_text(name)
        with RecordingFiles.open(opened.path) as files:
            assert files.boot == ""
