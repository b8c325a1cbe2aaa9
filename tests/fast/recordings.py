"""Small recordings for the tests of the store: real files with made-up content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.machine.computer import STATES
from branchpoint.machine.pages import Hashes, Pages, hash_pages
from branchpoint.store.checkpoints import Checkpoint
from branchpoint.store.manifest import ContainerFacts, EngineFacts, Input, Machine, Manifest
from branchpoint.timeline.directory import Future, RecordingFiles

SECOND = 1_000_000_000
ORIGIN = 5 * SECOND
RAM = 1 << 24


def head(**changes: object) -> Manifest:
    """The head of a recording that ended at vtime 10."""
    base = Manifest(
        engine=EngineFacts(qemu="10.0.2", binary="ab" * 32, plugin="cd" * 16, states=STATES),
        machine=Machine(ram=RAM, guest_image="01" * 32, system_image="02" * 32, nvdimm=1 << 28),
        origin=ORIGIN,
        end=ORIGIN + 10 * SECOND,
        seed=7,
        inputs=[Input(at=ORIGIN, kind="setup", data=b"\x00\xffstart\0", note="start")],
        containers=[ContainerFacts(name="db.1", service="db", image="db:1", address="10.89.0.2")],
        title="three containers",
        compose="services:\n  db: {image: 'db:1'}\n",
        ended="container.exit",
    )
    return base.with_(**changes)


def pages(seed: int, count: int) -> tuple[Hashes, Pages]:
    """Different pages, half of each compressible, and their keys."""
    made = np.zeros((count, 4096), np.uint8)
    made[:, :2048] = np.random.default_rng(seed).integers(0, 256, (count, 2048), np.uint8)
    return hash_pages(made), made


def checkpoint(at: int, parent: int | None, seed: int, count: int = 40) -> tuple[Checkpoint, Pages]:
    """A checkpoint whose changed pages and digest depend on ``seed``."""
    hashes, content = pages(seed, count)
    numbers = np.random.default_rng(seed).choice(RAM // 4096, count, replace=False)
    state = Checkpoint(
        at=at,
        parent=parent,
        digest=bytes([seed % 256]) * 32,
        outbox=seed,
        devices=b"devices" * 100 + bytes([seed % 256]),
        gfns=np.sort(numbers).astype(np.uint32),
        hashes=hashes,
    )
    return state, content


def event(second: float, text: str = "hello", **changes: object) -> Event:
    """A line of db.1, some seconds after set-up."""
    given: dict[str, object] = {
        "at": ORIGIN + round(second * SECOND),
        "source": "container",
        "container": "db.1",
        "stream": "out",
        "text": text,
    }
    return Event(**(given | changes))  # type: ignore[arg-type]


def fill(files: RecordingFiles, seconds: int = 10) -> None:
    """For each second a checkpoint, a hundred events and a saved head; and one branch."""
    parent = None
    for second in range(seconds):
        at = ORIGIN + second * SECOND
        files.add_checkpoint(*checkpoint(at, parent, second))
        parent = at
        files.events.add(event(second + n / 100, f"line {second}.{n}") for n in range(100))
        files.save(head(end=at + SECOND))
    files.add_future(Future(id="b1", parent=None, at=ORIGIN + SECOND))


def make(path: Path, seconds: int = 10) -> Path:
    """A closed recording at ``path``."""
    with RecordingFiles.create(path, head()) as files:
        fill(files, seconds)
    return path


def state(files: RecordingFiles, at: int) -> dict[int, bytes]:
    """The content of every page that differs from the boot snapshot."""
    numbers, hashes = files.pages_at(at)
    return dict(zip(numbers.tolist(), map(bytes, files.pages.get(hashes)), strict=True))


def set_of(events: list[Event], **options: Any) -> EventSet:
    log = EventLog()
    log.extend(events)
    return EventSet(log.columns(), origin=ORIGIN, **options)
