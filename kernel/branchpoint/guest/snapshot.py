"""The boot snapshot: a machine whose agent is ready, made once for all systems of one shape."""

from __future__ import annotations

import json
import os
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
from branchpoint.guest import boot
from branchpoint.guest.image import GuestImage
from branchpoint.guest.mailbox import Mailbox
from branchpoint.machine import engine
from branchpoint.machine.computer import EPOCH, Computer, Kernel, Spec
from branchpoint.machine.pages import HASH, PAGE, TEMPLATE, Hashes, PagePool, Pages, hash_pages
from branchpoint.machine.state import State

_STEP = 50_000_000  # ns of virtual time between looks whether the agent is there
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


class _Facts(msgspec.Struct):
    """What ``snapshot.json`` says."""

    at: int
    """ns."""
    digest: str


def ensure_snapshot(image: GuestImage, system: Path, ram: int) -> Snapshot:
    """The boot snapshot for a guest image, a size of memory, and any system as large as ``system``.

    From the cache, or booted now (some seconds).
    """
    spec = _spec(image, system, ram)
    shape = [image.digest, ram, system.stat().st_size, EPOCH, engine.find().fingerprint]
    folder = cache_dir() / "boot" / blake3(json.dumps(shape).encode()).hexdigest(16)
    with files.locked("boot"):
        if not (folder / "snapshot.json").exists():
            files.need_space(cache_dir(), ram)
            with progress.task("booting the guest") as task, files.publish(folder) as new:
                new.mkdir()
                _boot(image, spec, new, task)
    return _load(folder, spec)


def received(name: str, image: GuestImage, system: Path, ram: int) -> Snapshot | None:
    """The boot snapshot ``name`` that came with a recording (:func:`receive`).

    None when it is not in the cache, or of another engine than this computer's.
    """
    folder = _place(name)
    try:
        made_by = (folder / "engine").read_bytes()
    except OSError:
        return None
    if made_by != engine.find().fingerprint.encode():
        return None
    return _load(folder, _spec(image, system, ram))


def is_received(name: str) -> bool:
    """Whether the boot snapshot ``name`` came with a recording before and is still here."""
    return os.path.exists(_place(name) / "snapshot.json")  # noqa: PTH110 - no errors


@contextmanager
def receive(name: str, ram: int, at: int, fingerprint: str) -> Iterator[Path]:
    """Yield a folder for the ``memory`` and ``devices`` of a snapshot that somebody else made.

    ``name`` is a digest of them, and only recordings that name it use it: a snapshot that was not
    made here never takes the place of one that was. ``at`` (ns) and ``fingerprint`` (of the
    engine) say when and by whom it was made.
    """
    with files.publish(_place(name)) as folder:
        folder.mkdir()
        yield folder
        hashes = np.concatenate([hash_pages(pages) for pages in _pages_of(folder / "memory", ram)])
        np.save(folder / "hashes.npy", hashes)
        digest = _digest(hashes, (folder / "devices").read_bytes())
        (folder / "engine").write_text(fingerprint)
        (folder / "snapshot.json").write_text(json.dumps({"at": at, "digest": digest}))


def _place(name: str) -> Path:
    return cache_place() / "boot" / f"received-{name}"


def _pages_of(memory: Path, ram: int) -> Iterator[Pages]:
    with memory.open("rb") as file:
        for _ in range(0, ram, _PIECE):
            data = np.frombuffer(file.read(_PIECE), np.uint8)
            yield data.reshape(-1, PAGE)


def _digest(hashes: Hashes, devices: bytes) -> str:
    return blake3(hashes.tobytes()).update(devices).hexdigest(16)


def _spec(image: GuestImage, system: Path, ram: int) -> Spec:
    symbols = image.kallsyms
    modules = (image.toolbox, system)
    return Spec(ram, modules, symbols["__switch_to_asm"], symbols["init_task"], image.young)


def _load(folder: Path, spec: Spec) -> Snapshot:
    ram = spec.ram
    try:
        facts: _Facts = decoding.from_json((folder / "snapshot.json").read_bytes(), _Facts)
        shape = (ram // PAGE, HASH)
        hashes = decoding.array((folder / "hashes.npy").read_bytes(), np.uint8, shape)
        devices = (folder / "devices").read_bytes()
        state = State(facts.at, devices, np.full(ram // PAGE, TEMPLATE, np.uint32))
        return Snapshot(spec, folder / "memory", hashes, state, facts.digest)
    except (OSError, decoding.Malformed) as error:
        raise SetupError(
            f"the boot snapshot in {folder} is damaged: {error}", "delete that directory"
        ) from error


def _boot(image: GuestImage, spec: Spec, folder: Path, task: progress.Task) -> None:
    kernel = Kernel(image.kernel, image.initrd, boot.command_line(spec.ram))
    zero = hash_pages(np.zeros((1, PAGE), np.uint8))
    hashes = np.repeat(zero, spec.ram // PAGE, axis=0)
    with Computer(spec, kernel=kernel, pool=PagePool(hashes)) as computer:
        mailbox = Mailbox(computer)
        while not mailbox.ready:
            if computer.now > _LIMIT:
                raise MachineError(
                    f"the guest did not come up in {_LIMIT // 10**9} virtual seconds; it said:\n"
                    f"{computer.console()[-2000:]}"
                )
            computer.run_to(computer.now + _STEP)
            task.update(computer.now / 1e9, "virtual seconds")
        mailbox.skip()
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
        (folder / "snapshot.json").write_text(json.dumps(facts))
