"""Checks that replays are exact here: the engine, a soak with its controls, a rehearsal."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.events.event import EventLog
from branchpoint.guest import boot
from branchpoint.guest.compiler import static_program
from branchpoint.guest.image import GuestImage, ensure_image
from branchpoint.guest.initramfs import archive
from branchpoint.guest.tree import Tree
from branchpoint.machine import engine, firmware, sandbox
from branchpoint.machine.computer import BOARD, Computer, Cures
from branchpoint.machine.pages import PAGE, PagePool, hash_pages
from branchpoint.machine.spec import Hardware, Kernel, Spec
from branchpoint.sharing.proof.rehearsal import Rehearsed, rehearse
from branchpoint.soak import Report, Subject, soak
from branchpoint.timeline.replaying.history import History, Point
from branchpoint.torture.foreign import Foreign, try_foreign

_SOURCE = Path(engine.__file__).with_name("torture.c")
_RAM = 192 << 20
_BEGIN = 3_000_000_000  # ns: by then all parts of the torture program are running
_LENGTH = 300_000_000  # ns
_CONTROL_SHARE = 0.15  # of the time, at most, for each control
CONTROLS = {
    "idle": Cures(idle=False),
    "TLB": Cures(tlb=False),
    "accessed bits": Cures(young=False),
    "flags": Cures(flags=False),
}
"""Each cure that can be left out; a soak without it must diverge."""


@dataclass(frozen=True)
class Examination:
    """What the doctor found."""

    engine: engine.Engine
    firmware: str
    """The digest of the firmware with which everything here ran."""
    walls: str
    """How an emulator is confined (:func:`branchpoint.machine.sandbox.walls`)."""
    soak: Report
    controls: dict[str, Report]
    """What the soaks without a cure found, by the name of the cure."""
    rehearsed: Rehearsed
    """What came of a small system that was recorded, branched, checked and verified."""
    foreign: Foreign | None = None
    """What came of programs that others wrote; None when that was not asked for."""

    @property
    def healthy(self) -> bool:
        """Whether replays are exact here."""
        sound = self.soak.replays > 0 and not self.soak.divergences and bool(self.rehearsed)
        return sound and (self.foreign is None or self.foreign.healthy)

    @property
    def controls_diverged(self) -> bool:
        """Whether the soak noticed every missing cure. Only then does finding nothing mean much."""
        noticed = all(report.divergences for report in self.controls.values())
        return noticed and (self.foreign is None or self.foreign.control.parted > 0)

    def __str__(self) -> str:
        found = [
            f"engine: QEMU {self.engine.version}, {self.engine.qemu}",
            f"        binary {self.engine.binary_digest}, timekeeper {self.engine.source_digest}",
            f"        board {BOARD}, firmware {self.firmware}",
            f"sandbox: {self.walls}",
            str(self.soak),
            *(f"control, {report}" for report in self.controls.values()),
            str(self.rehearsed),
        ]
        if self.foreign is not None:
            found.append(str(self.foreign))
        if not self.healthy:
            found.append("NOT HEALTHY: replays diverge on this computer; do not trust it")
        elif not self.controls_diverged:
            found.append(
                "healthy so far, but a control did not diverge in the given time: give more time "
                "(--minutes) for a stronger result"
            )
        else:
            found.append("healthy: replays are exact here, and a missing cure would be noticed")
        return "\n".join(found)


def examine(seconds: float = 120, foreign: Sequence[str] = ()) -> Examination:
    """Soak a guest made to expose every hole in determinism, for about ``seconds`` of wall time.

    Controls end when they have diverged, mostly long before their share of that time. Then a small
    system is recorded, branched, checked and verified.

    ``foreign`` names systems of programs that others wrote (:mod:`branchpoint.torture.systems`),
    which are recorded, branched and soaked after that. This takes about as long again, plus the
    time to record them.

    :raises SetupError: when something needed is missing.
    """
    found = engine.find()
    image = ensure_image()
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
        sound = torture(image, Path(folder))
        with sound.start() as computer:
            walls = sandbox.walls(computer.pid)
        own = soak(sound, seconds=seconds * (1 - _CONTROL_SHARE * len(CONTROLS)))
        sound.pool.close()
        controls = {name: _controlled(image, name, seconds * _CONTROL_SHARE) for name in CONTROLS}
        place = Path(folder) / "rehearsal"
        place.mkdir()
        rehearsed = rehearse(place)
        tried = try_foreign(Path(folder), seconds, foreign) if foreign else None
    return Examination(found, firmware.pinned().digest, walls, own, controls, rehearsed, tried)


def _controlled(image: GuestImage, name: str, seconds: float) -> Report:
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
        subject = control(image, Path(folder), name)
        report = soak(subject, seconds=seconds, until_divergence=True)
        subject.pool.close()
    return report


def torture(image: GuestImage, folder: Path, part: str = "") -> Subject:
    """The torture guest as the subject of a soak, from 3 virtual seconds after power-on.

    ``part`` is the name of a control: only its part of the guest then runs. ``folder`` is for files
    that the subject needs.
    """
    kernel = torture_kernel(image, folder, part)
    symbols = image.kallsyms
    spec = Spec(Hardware(_RAM), (), symbols["__switch_to_asm"], symbols["init_task"], image.young)
    empty = hash_pages(np.zeros((1, PAGE), np.uint8))
    pool = PagePool(np.repeat(empty, _RAM // PAGE, axis=0))
    start = functools.partial(Computer, spec, kernel=kernel, pool=pool)
    with start() as computer:
        computer.run_to(_BEGIN)
        begin = computer.capture()
    end = _BEGIN + _LENGTH
    history = History([], Point(end, 0), EventLog())
    return Subject("torture guest", history, pool, start, begin, end, boot=start)


def control(image: GuestImage, folder: Path, name: str) -> Subject:
    """One of :data:`CONTROLS`: the part of the guest that needs this cure, on emulators without it.

    It must diverge.
    """
    subject = torture(image, folder, name)
    start = functools.partial(subject.start, cures=CONTROLS[name])
    return dataclasses.replace(subject, name=f"{name} cure off", start=start, boot=start)


def torture_kernel(image: GuestImage, folder: Path, part: str = "") -> Kernel:
    """A kernel whose init is the torture program, or one part of it, see :func:`torture`."""
    tree = Tree()
    tree.add_file("init", static_program([_SOURCE]), 0o755)
    initrd = folder / "initrd"
    initrd.write_bytes(archive(tree))
    options = boot.command_line(_RAM)
    if part:
        options += f" torture={part.replace(' ', '_')}"
    return Kernel(image.kernel, initrd, options)
