"""What a computer is made of, as far as systems and recordings decide it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from branchpoint.machine.engine import Engine
from branchpoint.machine.firmware import Firmware

Mhz = Literal[1000, 500, 250, 125]
"""Speeds of a processor, as instructions per virtual microsecond: one takes 1, 2, 4 or 8 ns."""


@dataclass(frozen=True)
class Hardware:
    """What a system says of its computer."""

    ram: int
    """Bytes of memory, at most 3 GiB."""
    mhz: Mhz = 1000

    @property
    def instruction(self) -> int:
        """How long an instruction takes, in ns. The machine stops at multiples of it."""
        return 1000 // self.mhz


@dataclass(frozen=True)
class Spec:
    """What the computer is made of; equal for all runs of one image."""

    hardware: Hardware
    modules: tuple[Path, ...] = ()
    """Read-only memory modules (NVDIMM), in order; file sizes are the module sizes."""
    switch_address: int = 0
    """Guest address of the kernel's ``__switch_to_asm``; 0 while it is not known."""
    idle_task: int = 0
    """Guest address of the kernel's ``init_task``, the idle one; 0 while it is not known."""
    young: tuple[int, ...] = ()
    """Guest addresses of the kernel's functions that clear the accessed bit of a page."""
    engine: Engine | None = None
    """What emulates it; None: :func:`branchpoint.machine.engine.find`."""
    firmware: Firmware | None = None
    """What it starts with; None: :func:`branchpoint.machine.firmware.pinned`."""

    @property
    def ram(self) -> int:
        """Bytes of memory."""
        return self.hardware.ram


@dataclass(frozen=True)
class Kernel:
    """What to boot when there is no state to restore."""

    image: Path
    initrd: Path
    command_line: str
