"""A whole machine at one instant, as data."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from branchpoint.errors import MachineError
from branchpoint.machine.pages import TEMPLATE, Hashes, PagePool, Slots

_TIMER_SECTION = b"\x05timer" + struct.pack(">II", 0, 2)
_HOST_CLOCKS = 24  # bytes: cpu_ticks_offset, unused, cpu_clock_offset


def without_host_clocks(devices: bytes) -> bytes:
    """Device state with the two offsets zeroed that QEMU derives from the host's clocks.

    They are saved along but, with instruction counting, read by nothing; left in, they would
    make equal states look different.
    """
    at = devices.find(_TIMER_SECTION)
    if at < 0:
        raise MachineError("the device state has no timer section", "is this QEMU supported?")
    at += len(_TIMER_SECTION)
    return devices[:at] + bytes(_HOST_CLOCKS) + devices[at + _HOST_CLOCKS :]


@dataclass(frozen=True)
class State:
    """The machine at ``at`` (ns): its devices, and for each page of memory the pool's slot."""

    at: int
    devices: bytes
    slots: Slots

    def digest(self, pool: PagePool) -> bytes:
        """32 bytes that are equal exactly when memory, registers, devices and clock are."""
        private = self.slots != TEMPLATE
        return digest_of(self.at, private, pool.hashes(self.slots[private]), self.devices)


def digest_of(at: int, private: NDArray[np.bool_], hashes: Hashes, devices: bytes) -> bytes:
    """32 bytes for a machine; ``hashes`` are those of the pages that are not as in the template."""
    digest = blake3(struct.pack("<qI", at, len(private)))
    digest.update(np.flatnonzero(private).astype(np.uint32).tobytes())
    digest.update(hashes.tobytes())
    digest.update(devices)
    return digest.digest()
