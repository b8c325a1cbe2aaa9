"""The machine of a recording, on this computer: images, firmware, and an engine that is equal.

An engine is equal to the one that recorded if it boots the recording's machine to the same state,
bit for bit. Its version does not count.
"""

from __future__ import annotations

from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.guest import image
from branchpoint.guest.image import GuestImage
from branchpoint.guest.snapshot import Snapshot, ensure_snapshot, equal_to, kept, received
from branchpoint.machine import engine, firmware
from branchpoint.machine.spec import Hardware
from branchpoint.system.bundle import cached
from branchpoint.timeline.directory import RecordingFiles

_IMPORT = "get its machine from whoever recorded it: branchpoint machine import FILE"


def snapshot_for(files: RecordingFiles) -> Snapshot:
    """The boot snapshot from which a recording is replayed, and the engine that runs it.

    :raises RecordingError: when a part of its machine is not on this computer, or no engine here
        is equal.
    """
    machine = files.manifest.machine
    guest = _guest(files)
    system = cached.find(machine.system_image)
    if system is None:
        raise RecordingError(
            f"{files.path}: its system image {machine.system_image} is not on this computer",
            "build it from the same compose file: branchpoint image COMPOSE",
        )
    where = guest, system, Hardware(machine.ram, machine.mhz)
    start = firmware.obtain(machine.firmware) if machine.firmware else firmware.pinned()
    found = received(files.boot, *where) if files.boot else None
    if found is not None:
        return found
    if not machine.boot:  # an older recording, which does not say how its machine boots
        return ensure_snapshot(*where)
    if start is not None:
        found = equal_to(machine.boot, *where, start)
    if found is None and files.boot:
        found = received(files.boot, *where, other=True)
    if found is None:
        found = kept(machine.boot, *where)
        if found is not None:
            files.warn(
                f"no emulator here is known to equal the one that recorded ({_tried(start)}): its "
                "own boot snapshot is used, and a replay that differs is noticed"
            )
    if found is None:
        raise RecordingError(
            f"{files.path} was recorded with {files.manifest.engine}, and no emulator here is "
            f"known to be equal: {_tried(start)}",
            _IMPORT if start is None else "install QEMU 10.0, or set BRANCHPOINT_QEMU to one",
        )
    return found


def _guest(files: RecordingFiles) -> GuestImage:
    wanted = files.manifest.machine.guest_image
    found = image.find(wanted)
    if found is None:
        found = image.ensure_image()
        if found.digest != wanted:
            raise RecordingError(
                f"{files.path} was recorded with guest image {wanted}, which is not on this "
                f"computer; the one that can be built today is {found.digest}",
                _IMPORT,
            )
    return found


def _tried(start: firmware.Firmware | None) -> str:
    """What was looked for in vain, in words."""
    if start is None:
        return "its firmware is not on this computer"
    try:
        versions = ", ".join(f"QEMU {each.version}" for each in engine.candidates())
    except BranchpointError as problem:
        return problem.message
    return f"{versions} boot its machine to another state"
