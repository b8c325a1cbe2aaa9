"""``recording.json``: the recording itself, without any caches.

Machine, inputs and engine are all that a replay needs; everything else in the directory can be
recreated from this file. It is JSON that people can read. Its first field is a digest of every
byte after it, so any damage is noticed.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from branchpoint.errors import RecordingError
from branchpoint.machine.spec import Mhz
from branchpoint.store.sealed import NewerFormat, Sealed

FORMAT = 1
MAX_BYTES = 256 << 20  # of the file: inputs contain whole files that a user injects

Ns = Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""An absolute instant: nanoseconds since the machine was switched on."""
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z", max_length=200)]
"""The name of a container or service: safe in file names, commands and HTML."""
Digest = Annotated[str, Meta(pattern=r"^([0-9a-f]{12,128})?\Z")]
"""A lower-case hexadecimal digest, or nothing."""
Word = Annotated[str, Meta(max_length=200)]


class EngineFacts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The engine that computed the recording; a replay by another engine may differ."""

    qemu: Word
    """QEMU's version, as QEMU prints it."""
    binary: Digest
    """blake3 of the QEMU binary."""
    plugin: Digest
    """Digest of the timekeeper's source."""
    states: Annotated[int, Meta(ge=1, le=1000)] = 1
    """Version of the machine's states (what they contain), see ``machine.computer.STATES``."""

    def __str__(self) -> str:
        return f"QEMU {self.qemu}, binary {self.binary[:12]}, timekeeper {self.plugin[:12]}"


class Machine(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The machine that ran: everything that determines its state at power-on."""

    ram: Annotated[int, Meta(ge=4096, le=1 << 34, multiple_of=4096)]
    """Memory in bytes."""
    guest_image: Digest
    system_image: Digest
    nvdimm: Annotated[int, Meta(ge=0, le=1 << 44)]
    """Size in bytes of the memory device that holds the system image."""
    board: Word = ""
    """QEMU's name for the board, with its version."""
    firmware: Digest = ""
    """Digest of the firmware that it starts with."""
    boot: Digest = ""
    """Digest of its boot snapshot: an engine that boots to another state is not equal. Recordings
    of older versions name none of the three."""
    mhz: Mhz = 1000
    """Speed of its processor."""


class Input(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One thing that reached the machine from outside, at an exact instant."""

    at: Ns
    kind: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9.-]*\Z", max_length=40)]
    """For people and filters: "setup", "fault", "command", "seed", ..."""
    data: bytes
    """The exact bytes that the guest's agent got."""
    note: str = ""


Device = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\Z", max_length=15)]
"""The name of a network interface: safe in the guest's commands."""


class Link(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A container's place in one network."""

    network: Name
    veth: Device
    """Its end of the link in the guest, where faults of the network act."""
    interface: Device
    """Its end in the container."""
    address: Annotated[str, Meta(pattern=r"^[0-9.]{7,15}\Z")]
    """IPv4."""
    address6: Annotated[str, Meta(pattern=r"^[0-9a-f:]{0,39}\Z")] = ""
    """IPv6; empty where the network has none."""


class ContainerFacts(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One container of the system."""

    name: Name
    service: Name
    image: Annotated[str, Meta(max_length=1000)] = ""
    address: Annotated[str, Meta(max_length=10_000)] = ""
    """Its IP addresses in all its networks, separated by commas."""
    links: Annotated[list[Link], Meta(max_length=100)] = []
    volumes: Annotated[list[Name], Meta(max_length=100)] = []
    """The named volumes that it may write to."""
    tests: Annotated[list[Annotated[str, Meta(max_length=500)]], Meta(max_length=10_000)] = []
    """Its test commands: ``TEMPLATE/NAME``."""
    versions: Annotated[list[Name], Meta(max_length=100)] = []
    """Services that it may become by an upgrade."""


class Manifest(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of ``recording.json``; use :meth:`with_` for changed copies."""

    engine: EngineFacts
    machine: Machine
    origin: Ns
    """The instant at which set-up was complete: vtime 0."""
    end: Ns
    """The last instant of the recording."""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)]
    inputs: list[Input] = []
    """In the order in which the machine got them; instants never decrease."""
    containers: Annotated[list[ContainerFacts], Meta(max_length=10_000)] = []
    title: str = ""
    compose: str = ""
    """The compose file as it was read, or all of them."""
    ended: str = ""
    """Why the recording ends there."""
    failure: Ns | None = None
    """The instant of the event that was waited for; None when it did not come."""
    event_blocks: Annotated[int, Meta(ge=0, le=2**40)] = 0
    """How many blocks of events had been written when this was saved."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}")
        if any(a.at > b.at for a, b in zip(self.inputs, self.inputs[1:], strict=False)):
            raise ValueError("inputs are not in the order of time")
        if len({c.name for c in self.containers}) != len(self.containers):
            raise ValueError("two containers have the same name")

    def with_(self, **changes: Any) -> Manifest:
        """A copy with some fields changed, checked again.

        :raises ValueError: when the result is not valid.
        """
        return msgspec.structs.replace(self, **changes)


_FILE = Sealed("recording", Manifest, FORMAT)


def encode(manifest: Manifest) -> bytes:
    """The bytes of ``recording.json``."""
    return _FILE.encode(manifest)


def decode(data: bytes, file: str = "recording.json") -> Manifest:
    """Read what :func:`encode` wrote.

    :raises RecordingError: naming ``file``, when any byte was changed or the format is newer.
    """
    try:
        return _FILE.decode(data)
    except NewerFormat as problem:
        raise RecordingError(f"{file} {problem}", "update Branchpoint to open it") from None
    except ValueError as problem:
        raise RecordingError(f"{file} {problem}") from None
