"""``bundle.json``, the first entry of a bundle: what else is in it, byte for byte.

As in ``recording.json``, its first field is a digest of every byte after it. Only what is listed
here, with its exact size and digest, is unpacked. Names are from a fixed list, so that none can
lead out of the folder that a bundle is unpacked into.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from blake3 import blake3
from msgspec import Meta, Struct

from branchpoint.errors import RecordingError
from branchpoint.machine import firmware
from branchpoint.sharing.bundle import archive
from branchpoint.store import manifest
from branchpoint.store.manifest import EngineFacts, Machine, Ns
from branchpoint.store.sealed import NewerFormat, Sealed

FORMAT = 1
NAME = "bundle.json"
MAX_BYTES = 4 << 20
PACKED = ".zst"
"""Added to the name of an entry that is compressed."""
_MIB, _GIB = 1 << 20, 1 << 30
_LARGEST = {
    r"recording/recording\.json": manifest.MAX_BYTES,
    r"recording/(futures|digests)\.jsonl": 256 * _MIB,
    r"recording/events/[0-9]{6}\.log": 128 * _MIB,
    r"recording/curves/[0-9a-f]{24}\.json": 64 << 10,
    r"recording/curves/[0-9a-f]{24}\.jsonl": 256 * _MIB,
    r"notebook\.ipynb": 64 * _MIB,
    r"guest/vmlinuz": 256 * _MIB,
    r"guest/initrd": 256 * _MIB,
    r"guest/toolbox": 4 * _GIB,
    r"system/system": 64 * _GIB,
    r"firmware/[a-z0-9_-]{1,40}\.bin": firmware.LARGEST,
    r"boot/memory": 16 * _GIB,
    r"boot/devices": 64 * _MIB,
}
"""All parts that are possible, and how many bytes each may have."""
_MOST_PARTS = 10_000
_NEEDED = "recording/recording.json"
WHOLE = ("guest/initrd", "guest/toolbox", "guest/vmlinuz", "system/system", "boot/devices",
         "boot/memory")  # fmt: skip
"""What only a whole bundle has."""
FIRMWARE = tuple(f"firmware/{name}" for name in firmware.FILES)
"""What it also has, if its recording names the firmware of its machine."""
Blake3 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
NOTEBOOK_NAME = r"[^\W_][\w .()+-]{0,99}\.ipynb"
NotebookName = Annotated[str, Meta(pattern=rf"^({NOTEBOOK_NAME})?\Z")]


def largest(name: str) -> int | None:
    """How many bytes the part of this name may have; None: there is no such part."""
    return next((size for kind, size in _LARGEST.items() if re.fullmatch(kind, name)), None)


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file."""

    name: Annotated[str, Meta(max_length=100)]
    size: Annotated[int, Meta(ge=0)]
    """Bytes, unpacked."""
    blake3: Blake3
    stored: Annotated[int, Meta(ge=0, le=archive.LARGEST)]
    """Bytes in the bundle."""
    packed: bool
    """Whether it is compressed with zstd."""

    def __post_init__(self) -> None:
        most = largest(self.name)
        if most is None:
            raise ValueError(f"{self.name!r} cannot be in a bundle")
        if self.size > most:
            raise ValueError(f"{self.name} is too large: {self.size} bytes, at most {most}")
        if not self.packed and self.stored != self.size:
            raise ValueError(f"{self.name} has {self.stored} bytes instead of {self.size}")

    @property
    def entry(self) -> str:
        """Its name in the archive."""
        return self.name + PACKED * self.packed


class Boot(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The boot snapshot of a whole bundle: the machine just before it got the system."""

    at: Ns
    engine: EngineFacts
    """The engine that booted it."""


Address = Annotated[int, Meta(ge=0)]


class Symbols(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Addresses in the guest's kernel."""

    switch: Address
    """The address of ``__switch_to_asm``."""
    task: Address
    """The address of ``init_task``."""
    young: Annotated[list[Address], Meta(max_length=8)] = []
    """The addresses of ``image.YOUNG``, in that order; older bundles have none."""


class Contents(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table of contents."""

    title: Annotated[str, Meta(max_length=1000)]
    """The name of the system."""
    engine: EngineFacts
    machine: Machine
    """As in the recording's own ``recording.json``."""
    parts: Annotated[list[Part], Meta(max_length=_MOST_PARTS)]
    """In their order in the bundle: sorted by name."""
    notebook: NotebookName = ""
    """Name of the notebook; "" when there is none."""
    boot: Boot | None = None
    symbols: Symbols | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format {self.format} is not {FORMAT}")
        names = [part.name for part in self.parts]
        if names != sorted(set(names)):
            raise ValueError("its parts are not in order, or one is there twice")
        if _NEEDED not in names:
            raise ValueError(f"it has no {_NEEDED}")
        extra = {name for name in names if not name.startswith("recording/")}
        expected = set(["notebook.ipynb"] if self.notebook else [])
        if self.whole:
            expected.update(WHOLE, FIRMWARE if self.machine.firmware else ())
        if extra != expected:
            names = sorted(extra ^ expected)
            raise ValueError(f"its parts do not fit together: {', '.join(names)}")
        if self.whole and (self["boot/memory"].size, self["system/system"].size) != (
            self.machine.ram, self.machine.nvdimm,
        ):  # fmt: skip
            raise ValueError("its memory or its system image has another size than the machine's")

    @property
    def whole(self) -> bool:
        """Whether it has everything that a replay needs except the emulator."""
        return self.boot is not None and self.symbols is not None

    @property
    def boot_name(self) -> str:
        """The name of the boot snapshot on the receiver's computer: a digest of its content."""
        assert self.boot is not None and self.symbols is not None
        made = [self["boot/memory"].blake3, self["boot/devices"].blake3, self.boot, self.machine]
        return blake3(msgspec.json.encode([*made, self.symbols])).hexdigest(16)

    def __getitem__(self, name: str) -> Part:
        """The part of this name."""
        return next(part for part in self.parts if part.name == name)

    @property
    def recording(self) -> list[Part]:
        """The files of the recording."""
        return [part for part in self.parts if part.name.startswith("recording/")]


_FILE = Sealed("bundle", Contents, FORMAT)


def encode(contents: Contents) -> bytes:
    """The bytes of ``bundle.json``.

    :raises RecordingError: when they are more than :func:`decode` reads.
    """
    data = _FILE.encode(contents)
    if len(data) > MAX_BYTES:
        raise RecordingError(
            f"too many files for one bundle: {len(contents.parts)}",
            "a recording has so many only after thousands of different curves; remove some of "
            "those in its folder curves/",
        )
    return data


def decode(data: bytes) -> Contents:
    """Read what :func:`encode` wrote.

    :raises RecordingError: when a newer version wrote it.
    :raises ValueError: when it is anything else; it says what is wrong.
    """
    try:
        return _FILE.decode(data)
    except NewerFormat as problem:
        raise RecordingError(f"it {problem}", "update Branchpoint to open it") from None
    except ValueError as problem:
        raise ValueError(f"its {NAME} {problem}") from None
