"""The machines on this computer. A machine is all that decides what a guest does: board, firmware,
guest image. Machines of different days lie side by side, and each recording names its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec
from blake3 import blake3

from branchpoint import decoding, files
from branchpoint.cache import cache_dir, cache_place
from branchpoint.errors import SetupError
from branchpoint.guest import image
from branchpoint.guest.image import GuestImage
from branchpoint.machine import firmware
from branchpoint.machine.computer import BOARD
from branchpoint.machine.firmware import Firmware

_SHORTEST = 4  # characters of a name that are enough to type


class _Noted(msgspec.Struct):
    """What the file of a machine says."""

    board: str
    firmware: str
    guest_image: str


@dataclass(frozen=True)
class Machine:
    """One machine whose parts are all on this computer."""

    board: str
    firmware: Firmware
    image: GuestImage

    @cached_property
    def name(self) -> str:
        """Its digest (hex): equal on all computers that have this machine."""
        return name_of(self.board, self.firmware.digest, self.image.digest)

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return self.image.size + sum(map(len, self.firmware.files.values()))


def name_of(board: str, firmware_digest: str, guest_image: str) -> str:
    """The name of the machine of these parts, which need not be here.

    Recordings of older versions name no board and no firmware: they had those of today.
    """
    parts = [board or BOARD, firmware_digest or firmware.pinned_digest(), guest_image]
    return blake3(msgspec.json.encode(parts)).hexdigest(16)


def current() -> Machine:
    """The machine of new recordings; its image may be built now.

    :raises SetupError: when it cannot be built.
    """
    return note(image.ensure_image(), firmware.pinned())


def note(guest: GuestImage, start: Firmware, board: str = BOARD) -> Machine:
    """Remember that there is such a machine."""
    machine = Machine(board, start, guest)
    file = cache_dir() / "machines" / f"{machine.name}.json"
    if not file.exists():
        noted = _Noted(board, start.digest, guest.digest)
        with files.publish(file) as path:
            path.write_bytes(msgspec.json.encode(noted))
    return machine


def known() -> list[Machine]:
    """All machines whose parts are on this computer, the newest first."""
    place = cache_place() / "machines"
    found = []
    noted = sorted(place.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in noted:
        try:
            parts: _Noted = decoding.from_json(path.read_bytes(), _Noted)
        except (OSError, decoding.Malformed):
            continue
        start, guest = firmware.find(parts.firmware), image.find(parts.guest_image)
        if start is not None and guest is not None:
            found.append(Machine(parts.board, start, guest))
    return found


def named(name: str) -> Machine:
    """The machine whose name begins with ``name``.

    :raises SetupError: when there is none, or more than one.
    """
    found = [machine for machine in known() if machine.name.startswith(name)]
    if len(name) < _SHORTEST or len(found) != 1:
        how_many = f"{len(found)} machines begin" if found else "no machine begins"
        raise SetupError(f"{how_many} with {name!r}", "see: branchpoint machine")
    return found[0]


def remove(machines: Iterable[Machine]) -> int:
    """Delete machines, with parts that no other machine has; returns how many bytes are free now.

    Boot snapshots stay: an older one may be all that a recording can still be replayed from.
    """
    gone = {machine.name for machine in machines}
    everything = known()
    stay = [machine for machine in everything if machine.name not in gone]
    freed = 0
    for machine in everything:
        if machine.name not in gone:
            continue
        (cache_dir() / "machines" / f"{machine.name}.json").unlink(missing_ok=True)
        if machine.image.digest not in [other.image.digest for other in stay]:
            while (found := image.find(machine.image.digest)) is not None:  # it may lie there twice
                freed += found.size
                shutil.rmtree(found.kernel.parent)
        if machine.firmware.digest not in [other.firmware.digest for other in stay]:
            shutil.rmtree(machine.firmware.folder, ignore_errors=True)
    return freed
