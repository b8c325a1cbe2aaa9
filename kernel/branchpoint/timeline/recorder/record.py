"""Recording a system: from a compose file to a directory that replays."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from branchpoint import progress
from branchpoint.clock import to_ns
from branchpoint.errors import RecordingError
from branchpoint.events import naming
from branchpoint.events.event import Event
from branchpoint.events.queries import Query
from branchpoint.faults.settings import NOTHING
from branchpoint.guest import image, wire
from branchpoint.guest.snapshot import Snapshot, ensure_snapshot
from branchpoint.machine.computer import BOARD, STATES
from branchpoint.machine.engine import Engine
from branchpoint.store import manifest
from branchpoint.store.manifest import Input, Manifest
from branchpoint.system import System, SystemImage, build
from branchpoint.timeline import faulting, openings
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.machine import snapshot_for
from branchpoint.timeline.recorder.writing import R, Writer
from branchpoint.timeline.replaying.history import SETUP

_SETUP_LIMIT = 600_000_000_000  # ns in which a system must be up
_BEFORE_START = 10_000_000  # ns from the boot snapshot to the first input


def record(
    compose: Path | str,
    path: Path | str | None = None,
    *,
    seed: int = 0,
    duration: Any = 60,
    until: Failure | Query | str | None = None,
    after: Any = 2,
    kind: type[R],
) -> R:
    """Run the system of a compose file from power-on and record it, as a recording of ``kind``.

    See :func:`branchpoint.record`.
    """
    system = build(compose)
    target = Path(path) if path is not None else Path(f"{system.system.name}.branchpoint")
    wanted = None if until is None else failure(until)
    naming.check(wanted, system.system.containers)
    guest = image.ensure_image()
    snapshot = ensure_snapshot(guest, system.path, system.system.hardware)
    recorder = _Recorder(target, system, guest, snapshot, seed, wanted, kind)
    try:
        with recorder:
            recorder.set_up()
            recorder.run(to_ns(duration), to_ns(after))
    except KeyboardInterrupt as stop:
        stop.add_note(f"what was recorded is in {target}: branchpoint.open({str(target)!r})")
        raise
    return recorder.recording


def _texts(system: System) -> str:
    """The compose files as they are, each with its name if there are several."""
    texts = {Path(path): Path(path).read_text("utf-8", "replace") for path, _ in system.files}
    if len(texts) == 1:
        return next(iter(texts.values()))
    return "\n".join(f"# {path.name}\n{text}" for path, text in texts.items())


class _Recorder(Writer[R]):
    def __init__(
        self, path: Path, system: SystemImage, guest: image.GuestImage, snapshot: Snapshot,
        seed: int, until: Failure | None, kind: type[R],
    ) -> None:  # fmt: skip
        self.system: System = system.system
        begin = snapshot.state.at + _BEFORE_START
        containers = [
            manifest.ContainerFacts(
                name=c.name,
                service=c.service,
                image=system.images[c.service][0],
                address=",".join(e.address for e in c.endpoints),
                links=[
                    manifest.Link(
                        network=e.network, veth=e.veth, interface=e.interface, address=e.address
                    )
                    for e in c.endpoints
                ],
                volumes=list(c.volumes),
            )
            for c in self.system.containers
        ]
        head = Manifest(
            engine=facts_of(snapshot.engine),
            machine=manifest.Machine(
                ram=self.system.ram,
                mhz=self.system.mhz,
                guest_image=guest.digest,
                system_image=system.digest,
                nvdimm=system.size,
                board=BOARD,
                firmware=snapshot.firmware.digest,
                boot=snapshot.digest,
            ),
            origin=begin,
            end=begin,
            seed=seed,
            inputs=self._inputs(begin, seed, containers),
            containers=containers,
            title=self.system.name,
            compose=_texts(self.system),
            ended="interrupted",
        )
        files = RecordingFiles.create(path, head)
        super().__init__(kind(files, lambda: snapshot), until)

    def set_up(self) -> None:
        """Run until the agent says that every container is up and healthy."""
        done: list[Event] = []

        def complete(new: list[Event]) -> bool:
            done.extend(e for e in new if e.type in ("setup.complete", "error"))
            return bool(done)

        limit = self.root.tip.at + _SETUP_LIMIT
        with progress.task(f"setting up {self.system.name}"):
            self.play(limit, complete)
        if not done or done[0].type == "error":
            what = done[0].text if done else f"not ready in {_SETUP_LIMIT // 10**9} virtual s"
            tail = "\n".join(str(event) for event in self.recording.events.tail(15))
            raise RecordingError(
                f"{self.system.file}: the system was not set up: {what}; the last events:\n{tail}",
                f"look at all of them: branchpoint.open({str(self.files.path)!r}).events",
            )
        self.save(origin=done[0].at)

    def _inputs(self, at: int, seed: int, containers: list[manifest.ContainerFacts]) -> list[Input]:
        """The inputs that make a system run: randomness, the faults to draw, the start command."""
        inputs = [
            Input(
                at=at, kind=SETUP, data=wire.seed(random.Random(seed).randbytes(32)),
                note="randomness",
            ),
        ]  # fmt: skip
        if noise := self.system.noise:
            data = wire.noise(noise.every, noise.longest)
            inputs.append(Input(at=at, kind=SETUP, data=data, note="scheduling noise"))
        if self.system.faults != NOTHING:
            inputs.append(faulting.plan(at, self.system.faults, containers))
        inputs.append(Input(at=at, kind=SETUP, data=wire.start(), note="start the system"))
        return inputs


def facts_of(engine: Engine) -> manifest.EngineFacts:
    """An engine as recordings note it."""
    return manifest.EngineFacts(
        qemu=engine.version,
        binary=engine.binary_digest,
        plugin=engine.source_digest,
        states=STATES,
    )


def open_recording(path: Path | str, kind: type[R], *, write: bool = True) -> R:
    """Open a recording as one of ``kind``. Nothing runs until a moment of it is visited.

    If this process has it open already, both openings share emulators and files. With ``write``,
    branches and curves are kept in it, even if other processes have it open.

    :raises RecordingError: when it is not a recording, is too damaged to use, or needs an image
        that is not on this computer.
    """
    with openings.lock:
        known = openings.find(path)
        if known is not None:
            return kind.sharing(known)
        files = RecordingFiles.open(path, keep=write)
        return kind(files, lambda: snapshot_for(files))
