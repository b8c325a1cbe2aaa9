"""Whether this computer can be trusted: the engine's parts, and a soak with its controls."""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from branchpoint.guest import boot
from branchpoint.guest.compiler import static_program
from branchpoint.guest.image import GuestImage, ensure_image
from branchpoint.guest.initramfs import archive
from branchpoint.guest.tree import Tree
from branchpoint.machine import engine, sandbox
from branchpoint.machine.computer import Computer, Cures, Kernel, Spec
from branchpoint.machine.pages import PAGE, PagePool, hash_pages
from branchpoint.soak import Report, Subject, soak
from branchpoint.timeline.events import EventLog
from branchpoint.timeline.history import History, Point
from branchpoint.torture.foreign import Foreign, try_foreign

_SOURCE = Path(engine.__file__).with_name("torture.c")
_RAM = 192 << 20
_BEGIN = 3_000_000_000  # ns: the torture is in full swing
_LENGTH = 300_000_000  # ns
_CONTROL_SHARE = 0.2  # of the time, for each control, at most
CONTROLS = {
    "idle": Cures(idle=False),
    "TLB": Cures(tlb=False),
    "accessed bits": Cures(young=False),
    "flags": Cures(flags=False),
}
"""Each cure that can be left out, so that a soak without it has to diverge."""


@dataclass(frozen=True)
class Examination:
    """What the doctor found."""

    engine: engine.Engine
    walls: str
    """What keeps an emulator inside (:func:`branchpoint.machine.sandbox.walls`)."""
    soak: Report
    controls: dict[str, Report]
    """Of soaks that lacked a cure."""
    foreign: Foreign | None = None
    """Of programs that others wrote, where that was asked for."""

    @property
    def healthy(self) -> bool:
        """Whether replays are exact here."""
        sound = self.soak.replays > 0 and not self.soak.divergences
        return sound and (self.foreign is None or self.foreign.healthy)

    @property
    def controls_diverged(self) -> bool:
        """Whether the soak noticed each cure missing, so that its silence means something."""
        noticed = all(report.divergences for report in self.controls.values())
        return noticed and (self.foreign is None or self.foreign.control.parted > 0)

    def __str__(self) -> str:
        found = [
            f"engine: QEMU {self.engine.version}, {self.engine.qemu}",
            f"        binary {self.engine.binary_digest}, timekeeper {self.engine.source_digest}",
            f"sandbox: {self.walls}",
            str(self.soak),
            *(f"control, {report}" for report in self.controls.values()),
        ]
        if self.foreign is not None:
            found.append(str(self.foreign))
        if not self.healthy:
            found.append("NOT HEALTHY: replays diverge on this computer; do not trust it")
        elif not self.controls_diverged:
            found.append(
                "healthy as far as seen; a control did not diverge in the time given, so give "
                "more (--minutes) for a stronger statement"
            )
        else:
            found.append("healthy: replays are exact here, and a missing cure would be noticed")
        return "\n".join(found)


def examine(seconds: float = 120, foreign: Sequence[str] = ()) -> Examination:
    """Soak a guest made to expose every hole, for about ``seconds`` of wall time.

    ``foreign`` names systems of programs that others wrote (:mod:`branchpoint.torture.systems`),
    which are recorded, branched and soaked after that, for about as long again besides what
    recording them takes.

    :raises SetupError: when something needed is missing.
    """
    found = engine.find()
    image = ensure_image()
    with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
        kernel = torture_kernel(image, Path(folder))
        sound = torture(image, kernel)
        with sound.start() as computer:
            walls = sandbox.walls(computer.pid)
        controls = {}
        for name, cures in CONTROLS.items():
            subject = without_cure(sound, cures, f"{name} cure off")
            limit = seconds * _CONTROL_SHARE
            controls[name] = soak(subject, seconds=limit, until_divergence=True)
        rest = seconds - sum(report.wall for report in controls.values())
        own = soak(sound, seconds=max(rest, 1))
        sound.pool.close()
        tried = try_foreign(Path(folder), seconds, foreign) if foreign else None
    return Examination(found, walls, own, controls, tried)


def torture(image: GuestImage, kernel: Kernel) -> Subject:
    """The torture guest as the subject of a soak, from some virtual seconds after its start."""
    symbols = image.kallsyms
    spec = Spec(_RAM, (), symbols["__switch_to_asm"], symbols["init_task"], image.young)
    empty = hash_pages(np.zeros((1, PAGE), np.uint8))
    pool = PagePool(np.repeat(empty, _RAM // PAGE, axis=0))
    start = functools.partial(Computer, spec, kernel=kernel, pool=pool)
    with start() as computer:
        computer.run_to(_BEGIN)
        begin = computer.capture()
    end = _BEGIN + _LENGTH
    history = History([], Point(end, 0), EventLog())
    return Subject("torture guest", history, pool, start, begin, end, boot=start)


def without_cure(subject: Subject, cures: Cures, name: str) -> Subject:
    """The same, but with emulators that lack a cure: a control, which must diverge."""
    start = functools.partial(subject.start, cures=cures)
    return dataclasses.replace(subject, name=name, start=start, boot=start)


def torture_kernel(image: GuestImage, folder: Path) -> Kernel:
    """A kernel whose init is the torture program."""
    tree = Tree()
    tree.add_file("init", static_program([_SOURCE]), 0o755)
    initrd = folder / "initrd"
    initrd.write_bytes(archive(tree))
    return Kernel(image.kernel, initrd, boot.command_line(_RAM))
