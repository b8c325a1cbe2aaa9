"""Recording a system: from a compose file to a directory that replays."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from branchpoint import progress
from branchpoint.clock import SECOND
from branchpoint.events import naming
from branchpoint.events.event import LOG, Event
from branchpoint.events.listing import inert
from branchpoint.events.queries import Query
from branchpoint.faults.settings import NOTHING
from branchpoint.guest import image, wire
from branchpoint.guest.snapshot import Snapshot, ensure_snapshot
from branchpoint.machine.computer import BOARD, STATES
from branchpoint.machine.engine import Engine
from branchpoint.store import manifest
from branchpoint.store.manifest import Input, Manifest
from branchpoint.system import System, SystemImage, build, load
from branchpoint.timeline import faulting, moment, openings
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.machine import snapshot_for
from branchpoint.timeline.recorder.place import Place, SetUpFailed
from branchpoint.timeline.recorder.setting_up import SettingUp
from branchpoint.timeline.recorder.writing import R, Writer
from branchpoint.timeline.replaying.history import SETUP

_SETUP_LIMIT = 600_000_000_000  # ns in which a system must be up
_LAST_LINES = 15
_LINE = 1000  # characters of each
_NOT_UNDERSTOOD = "cannot be understood ("  # so the agent says it of a line of system.conf
_BEFORE_START = 10_000_000  # ns from the boot snapshot to the first input


def record(
    compose: Path | str | Sequence[Path | str],
    path: Path | str | None = None,
    *,
    seed: int = 0,
    duration: Any = 60,
    until: Failure | Query | str | None = None,
    after: Any = 2,
    kind: type[R],
    profiles: Iterable[str] | None = None,
    env_files: Sequence[Path | str] | None = None,
    force: bool = False,
) -> R:
    """Run the system of a compose file from power-on and record it, as a recording of ``kind``.

    See :func:`branchpoint.record`.
    """
    length, more = moment.duration(duration, {}), moment.duration(after, {})
    wanted = None if until is None else failure(until)
    if wanted is not None:  # before the image is built, which takes longer
        naming.check(wanted, load(compose, profiles, env_files=env_files).containers)
    system = build(compose, profiles, env_files=env_files)
    target = Path(path) if path is not None else Path(f"{system.system.name}.branchpoint")
    guest = image.ensure_image()
    snapshot = ensure_snapshot(guest, system.path, system.system.hardware)
    place = Place(target, force)
    try:
        with place:
            recorder = _Recorder(target, system, guest, snapshot, seed, wanted, kind)
            with recorder:
                recorder.set_up(place)
                recorder.run(length, more)
    except KeyboardInterrupt as stop:
        stop.add_note(
            f"what was recorded is in {place.path}: branchpoint.open({str(place.path)!r})"
        )
        raise
    return recorder.recording


def texts(system: System) -> str:
    """The compose files as they are, each with its name if there are several."""
    found = {Path(path): Path(path).read_text("utf-8", "replace") for path, _ in system.files}
    if len(found) == 1:
        return next(iter(found.values()))
    return "\n".join(f"# {path.name}\n{text}" for path, text in found.items())


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
                address=",".join(address for e in c.endpoints for address in e.addresses),
                links=[
                    manifest.Link(
                        network=e.network,
                        veth=e.veth,
                        interface=e.interface,
                        address=e.address,
                        address6=e.address6,
                    )
                    for e in c.endpoints
                ],
                volumes=list(c.volumes),
                tests=system.tests.get(c.name, []),
                versions=list(c.versions),
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
            compose=texts(self.system),
            ended="interrupted",
        )
        files = RecordingFiles.create(path, head)
        super().__init__(kind(files, lambda: snapshot), until)

    def set_up(self, place: Place) -> None:
        """Run until the agent says that every container is up and healthy.

        :raises SetUpFailed: when it says that one cannot be, when nothing is waited for but a
            container that ends again and again, or after 600 virtual s.
        """
        watch = SettingUp(self.system.containers)
        limit = self.root.tip.at + _SETUP_LIMIT
        with progress.task(f"setting up {self.system.name}") as task:

            def over(new: list[Event]) -> bool:
                ended = watch.feed(new)
                spent = (self.root.tip.at - self.files.manifest.origin) // SECOND
                rest = f"; waiting for {watch.waiting}" if watch.waiting else ""
                task.update(note=f"{spent} virtual s{rest}")
                return ended

            self.play(limit, over)
        if watch.done is not None and watch.done.type == "setup.complete":
            self.save(origin=watch.done.at)
            place.keep()
            return
        hint = f"look at everything: branchpoint.open({str(place.failed)!r}).events"
        if watch.done is not None:
            what = watch.done.text
            if _NOT_UNDERSTOOD in what and image.chosen() is not None:
                what = f"its machine is of another version of Branchpoint ({what})"
                hint = "build one that fits, for new recordings: branchpoint machine build"
        elif watch.vain:
            what = watch.problem
        else:
            awaited = watch.waiting or "a program to say that it is ready"
            what = f"not ready in {_SETUP_LIMIT // SECOND} virtual s, waiting for {awaited}"
        raise SetUpFailed(
            f"{self.system.file}: the system was not set up: {what}{self._last_words(watch.vain)}",
            hint,
        )

    def _last_words(self, container: str) -> str:
        """What a container wrote since its last start, or else the last events of all."""
        if container:
            of_it = self.recording.events.where(container=container)
            said = of_it.where(start=of_it.where(type="container.start").last, type=LOG)
            lines = [f"  {inert(event.text, _LINE)}" for event in said.tail(_LAST_LINES)]
            if lines:
                return "; the last that it wrote:\n" + "\n".join(lines)
        tail = "\n".join(str(event) for event in self.recording.events.tail(_LAST_LINES))
        return f"; the last events:\n{tail}"

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
