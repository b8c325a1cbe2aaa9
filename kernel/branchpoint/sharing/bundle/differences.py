"""Why a replay on this computer might fail or not be exact, in plain words."""

from __future__ import annotations

from branchpoint.errors import BranchpointError
from branchpoint.guest import image
from branchpoint.machine import engine, firmware
from branchpoint.machine.computer import STATES
from branchpoint.system.bundle import cached
from branchpoint.timeline.recording import Recording

_ASK = (
    "ask who recorded it for the machine's file (branchpoint machine export) and import that "
    "(branchpoint machine import), or for a whole bundle (branchpoint share --whole)"
)


def differences(run: Recording) -> list[str]:
    """What this computer lacks, or has in another version than the one that made the recording.

    Each line says what to do. Empty: a replay is exact here.
    """
    return [*_states(run), *_engine(run), *_images(run)]


def _states(run: Recording) -> list[str]:
    if run.manifest.engine.states >= STATES:
        return []
    return [
        "recorded when states lacked the floating-point exception flags: in its branches a program "
        "that tests them (fetestexcept, numpy's errstate) may see none that were raised before the "
        "branch; to be sure, record the system again with the same seed"
    ]


def _engine(run: Recording) -> list[str]:
    if run.manifest.machine.boot:
        # Whether an emulator here is equal shows when it boots the machine. None is looked for, as
        # that may download one, which opening something must not do.
        return []
    try:
        found = engine.find()
    except BranchpointError as error:
        return [f"nothing can be replayed on this computer: {error.message}; {error.hint}"]
    made = run.manifest.engine
    if _series(made.qemu) != _series(found.version):
        return [
            f"recorded with QEMU {made.qemu}, but this computer has QEMU {found.version}: a replay "
            "that differs is noticed at the next checkpoint; for an exact one install QEMU "
            f"{_series(made.qemu)} and name it with BRANCHPOINT_QEMU"
        ]
    if made.plugin != found.source_digest:
        return [
            f"recorded with timekeeper {made.plugin[:12]}, but this Branchpoint has timekeeper "
            f"{found.source_digest[:12]}: a replay that differs is noticed at the next "
            "checkpoint; for an exact one use the Branchpoint that recorded"
        ]
    return []


def _series(version: str) -> str:
    """ "10.0" of "10.0.2": releases within a series run a machine in the same way."""
    return ".".join(version.split(".")[:2])


def _images(run: Recording) -> list[str]:
    machine, lacking = run.manifest.machine, []
    if image.find(machine.guest_image) is None:
        lacking.append(
            f"the guest image {machine.guest_image} is not on this computer: it is built when it "
            f"is first needed, if the packages are still the same; else {_ASK}"
        )
    start = machine.firmware
    if start not in ("", firmware.pinned_digest()) and firmware.find(start) is None:
        lacking.append(f"the firmware {start} is not on this computer: {_ASK}")
    if cached.find(machine.system_image) is None:
        lacking.append(
            f"the system image {machine.system_image} is not on this computer: build it from the "
            "same compose file (branchpoint image COMPOSE), or ask for a whole bundle "
            "(branchpoint share --whole)"
        )
    return lacking
