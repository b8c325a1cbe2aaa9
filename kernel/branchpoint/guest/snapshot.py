"""The boot snapshot: a machine whose agent is ready, made once for all systems of one shape.

Snapshots lie in the cache under their digest, so those of older machines stay, and engines that
boot a machine to the same state share one. That two engines do so is the proof that they are equal.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
from blake3 import blake3

from branchpoint import decoding, files, progress
from branchpoint.cache import cache_dir, cache_place
from branchpoint.errors import MachineError, SetupError
from branchpoint.guest import boot, machines, wire
from branchpoint.guest.image import GuestImage
from branchpoint.guest.mailbox import Mailbox
from branchpoint.machine import engine, firmware
from branchpoint.machine.computer import BOARD, EPOCH, Computer
from branchpoint.machine.engine import Engine
from branchpoint.machine.firmware import Firmware
from branchpoint.machine.pages import HASH, PAGE, TEMPLATE, Hashes, PagePool, Pages, hash_pages
from branchpoint.machine.spec import Hardware, Kernel, Spec
from branchpoint.machine.state import State

_FACTS = "snapshot.json"
_STEP = 50_000_000  # ns of virtual time between looks whether the agent is there
_SETTLING = 5_000_000  # ns after that, until it has passed on what the kernel said before
_PIECE = 64 << 20  # bytes of memory that are hashed at once
_LIMIT = 120_000_000_000  # ns after which a boot has failed


@dataclass(frozen=True)
class Snapshot:
    """A booted machine, ready to be given a system."""

    spec: Spec
    template: Path
    """Its memory, which every computer maps copy-on-write."""
    hashes: Hashes
    """Of each page of the template."""
    state: State
    digest: str
    """Of the state; equal on every computer with an equal engine."""

    @property
    def engine(self) -> Engine:
        """What runs machines that go on from it."""
        return self.spec.engine or engine.find()

    @property
    def firmware(self) -> Firmware:
        """What it was booted with, or would be."""
        return self.spec.firmware or firmware.pinned()


class _Facts(msgspec.Struct):
    """What ``snapshot.json`` says."""

    at: int
    """ns."""
    digest: str


def ensure_snapshot(
    image: GuestImage,
    system: Path,
    hardware: Hardware,
    by: Engine | None = None,
    start: Firmware | None = None,
) -> Snapshot:
    """The boot snapshot for a guest image, hardware, and any system as large as ``system``.

    From the cache, or booted now (some seconds), ``by`` an engine and with the firmware ``start``;
    by default those of new recordings.
    """
    start = start or firmware.pinned()
    machines.note(image, start)
    spec = _spec(image, system, hardware, by or engine.find(), start)
    place = cache_dir() / "boot"
    made = place / f"{_key(image, spec)}.digest"
    with files.locked("boot"):
        if not (made.exists() and (place / _text(made) / _FACTS).exists()):
            files.need_space(cache_dir(), hardware.ram)
            new = place / made.stem
            with progress.task("booting the guest") as task, files.publish(new) as unfinished:
                unfinished.mkdir()
                _boot(image, spec, unfinished, task)
            digest = _load(new, spec).digest
            if (place / digest / _FACTS).exists():
                shutil.rmtree(new)  # another engine booted to the same state
            else:
                new.rename(place / digest)
            with files.publish(made) as file:
                file.write_text(digest)
        return _load(place / _text(made), spec)


def equal_to(
    digest: str, image: GuestImage, system: Path, hardware: Hardware, start: Firmware
) -> Snapshot | None:
    """The boot snapshot with this digest, on an engine that boots to the same state.

    Engines are tried in their order. None when there is none; then see :func:`kept`.
    """
    for candidate in engine.candidates():
        found = ensure_snapshot(image, system, hardware, candidate, start)
        if found.digest == digest:
            return found
    return None


def kept(digest: str, image: GuestImage, system: Path, hardware: Hardware) -> Snapshot | None:
    """The boot snapshot with this digest, if one was made on this computer before.

    Which engine made it is not known; that of new recordings is to run it.
    """
    folder = cache_dir() / "boot" / digest
    if not (folder / _FACTS).exists():
        return None
    return _load(folder, _spec(image, system, hardware, engine.find(), firmware.pinned()))


def received(
    name: str, image: GuestImage, system: Path, hardware: Hardware, *, other: bool = False
) -> Snapshot | None:
    """The boot snapshot ``name`` that came with a recording (:func:`receive`), or None.

    It is for the engine that made it. With ``other``, also where this computer has only others;
    then it is for that of new recordings.
    """
    folder = _place(name)
    try:
        made_by = _text(folder / "engine")
    except (OSError, decoding.Malformed):
        return None
    by = next((each for each in engine.candidates() if each.fingerprint == made_by), None)
    if by is None and other:
        by = engine.find()
    if by is None:
        return None
    return _load(folder, _spec(image, system, hardware, by, firmware.pinned()))


def is_received(name: str) -> bool:
    """Whether the boot snapshot ``name`` came with a recording before and is still here."""
    return os.path.exists(_place(name) / _FACTS)  # noqa: PTH110 - no errors


@contextmanager
def receive(name: str, ram: int, at: int, fingerprint: str) -> Iterator[Path]:
    """Yield a folder for the ``memory`` and ``devices`` of a snapshot that somebody else made.

    ``name`` is a digest of them, and only recordings that name it use it: a snapshot that was not
    made here never takes the place of one that was. ``at`` (ns) and ``fingerprint`` (of the
    engine) say when and by whom it was made. The caller holds a lock, and has looked whether it is
    there.
    """
    with files.publish(_place(name)) as folder:
        folder.mkdir()
        yield folder
        hashes = np.concatenate([hash_pages(pages) for pages in _pages_of(folder / "memory", ram)])
        np.save(folder / "hashes.npy", hashes)
        digest = _digest(hashes, (folder / "devices").read_bytes())
        (folder / "engine").write_text(fingerprint)
        (folder / _FACTS).write_text(json.dumps({"at": at, "digest": digest}))


def _place(name: str) -> Path:
    return cache_place() / "boot" / f"received-{name}"


def _text(file: Path) -> str:
    return decoding.text(file.read_bytes())


def _pages_of(memory: Path, ram: int) -> Iterator[Pages]:
    with memory.open("rb") as file:
        for _ in range(0, ram, _PIECE):
            data = np.frombuffer(file.read(_PIECE), np.uint8)
            yield data.reshape(-1, PAGE)


def _digest(hashes: Hashes, devices: bytes) -> str:
    return blake3(hashes.tobytes()).update(devices).hexdigest(16)


def _spec(image: GuestImage, system: Path, hardware: Hardware, by: Engine, start: Firmware) -> Spec:
    symbols = image.kallsyms
    modules = (image.toolbox, system)
    switch, task = symbols["__switch_to_asm"], symbols["init_task"]
    return Spec(hardware, modules, switch, task, image.young, by, start)


def _key(image: GuestImage, spec: Spec) -> str:
    """Names all that a boot depends on."""
    assert spec.engine is not None and spec.firmware is not None
    shape = [
        image.digest, spec.ram, spec.hardware.mhz, spec.modules[-1].stat().st_size, EPOCH, BOARD,
        spec.firmware.digest, spec.engine.fingerprint, _SETTLING,
    ]  # fmt: skip
    return blake3(json.dumps(shape).encode()).hexdigest(16)


def _load(folder: Path, spec: Spec) -> Snapshot:
    ram = spec.ram
    try:
        facts: _Facts = decoding.from_json((folder / _FACTS).read_bytes(), _Facts)
        shape = (ram // PAGE, HASH)
        hashes = decoding.array((folder / "hashes.npy").read_bytes(), np.uint8, shape)
        devices = (folder / "devices").read_bytes()
        state = State(facts.at, devices, np.full(ram // PAGE, TEMPLATE, np.uint32))
        return Snapshot(spec, folder / "memory", hashes, state, facts.digest)
    except (OSError, decoding.Malformed) as error:
        raise SetupError(
            f"the boot snapshot in {folder} is damaged: {error}", "delete that directory"
        ) from error


def _is_ready(record: wire.Record) -> bool:
    return isinstance(record, wire.Event) and record.type == "agent.ready"


def _boot(image: GuestImage, spec: Spec, folder: Path, task: progress.Task) -> None:
    kernel = Kernel(image.kernel, image.initrd, boot.command_line(spec.ram))
    zero = hash_pages(np.zeros((1, PAGE), np.uint8))
    hashes = np.repeat(zero, spec.ram // PAGE, axis=0)
    with Computer(spec, kernel=kernel, pool=PagePool(hashes)) as computer:
        mailbox = Mailbox(computer)
        ready: int | None = None
        while ready is None or computer.now < ready + _SETTLING:
            if computer.now > _LIMIT:
                raise MachineError(
                    f"the guest did not come up in {_LIMIT // 10**9} virtual seconds; it said:\n"
                    f"{computer.console()[-2000:]}"
                )
            computer.run_to(computer.now + _STEP)
            task.update(computer.now / 1e9, "virtual seconds")
            if mailbox.ready:
                begun = (each.at for each in mailbox.drain() if _is_ready(each))
                ready = next(begun, ready)
        numbers, pages = computer.private_pages()
        devices = computer.devices()
        hashes[numbers] = hash_pages(pages)
        with (folder / "memory").open("wb") as file:
            file.truncate(spec.ram)
            for number, page in zip(numbers.tolist(), pages, strict=True):
                if page.any():
                    file.seek(number * PAGE)
                    file.write(page.data)
        np.save(folder / "hashes.npy", hashes)
        (folder / "devices").write_bytes(devices)
        facts = {"at": computer.now, "digest": _digest(hashes, devices)}
        (folder / _FACTS).write_text(json.dumps(facts))
