"""A machine as one file (``.bpm``), for computers that cannot build it, or not any more.

A team sends it once; recordings can then be shared without images. In its form it is a bundle: a
zip archive, of which every byte is fixed by its table of contents, ``contents.json``.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated, BinaryIO

from msgspec import Meta, Struct

from branchpoint import files, progress
from branchpoint.cache import cache_dir
from branchpoint.errors import RecordingError
from branchpoint.guest import image, machines
from branchpoint.guest.machines import Machine
from branchpoint.machine import firmware
from branchpoint.sharing.bundle import archive, contents
from branchpoint.sharing.bundle.contents import Part, Symbols
from branchpoint.sharing.bundle.opening import reading, unpack_part
from branchpoint.sharing.bundle.share import File, packed_parts
from branchpoint.sharing.files import replacing
from branchpoint.store.manifest import Digest, Word
from branchpoint.store.sealed import NewerFormat, Sealed

SUFFIX = ".bpm"
NAME = "contents.json"
_FORMAT = 1
_MAX_BYTES = 1 << 20  # of the table of contents
_PARTS = sorted((*contents.FIRMWARE, *(f"guest/{name}" for name in image.FILES)))


class _Table(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The table of contents."""

    board: Word
    firmware: Digest
    guest_image: Digest
    symbols: Symbols
    packages: Annotated[dict[Word, Word], Meta(max_length=10_000)]
    """Debian's packages in the guest image, with their versions."""
    parts: Annotated[list[Part], Meta(max_length=len(_PARTS))]
    format: int = _FORMAT

    def __post_init__(self) -> None:
        if [part.name for part in self.parts] != _PARTS:
            raise ValueError("its parts are not those of a machine")


_FILE = Sealed("machine", _Table, _FORMAT)


def export(machine: Machine, path: Path) -> Path:
    """Write a machine into a new file; returns its path.

    :raises RecordingError: when the file exists already.
    """
    if os.path.lexists(path):
        raise RecordingError(f"{path} exists already", "choose another name, or remove it first")
    guest = machine.image
    parts = [
        *(File(f"firmware/{name}", None, data) for name, data in machine.firmware.files.items()),
        *(
            File(f"guest/{name}", file)
            for name, file in zip(image.FILES, (guest.kernel, guest.initrd, guest.toolbox),
                                  strict=True)
        ),
    ]  # fmt: skip
    parts.sort(key=lambda part: part.name)
    switch, task = (guest.kallsyms[name] for name in image.SYMBOLS)
    with replacing(path) as out, tempfile.TemporaryFile(dir=path.parent) as room:
        packed = list(packed_parts(parts, room))
        data = _FILE.encode(
            _Table(
                board=machine.board, firmware=machine.firmware.digest, guest_image=guest.digest,
                symbols=Symbols(switch=switch, task=task, young=list(guest.young)),
                packages=guest.packages, parts=packed,
            )
        )  # fmt: skip
        writer = archive.Writer(out)
        _add(writer, NAME, data)
        room.seek(0)
        for part in packed:
            writer.add(part.entry, room, part.stored)
        writer.finish()
    return path


def _add(writer: archive.Writer, name: str, data: bytes) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        writer.add(name, file, len(data))


def import_machine(path: Path) -> Machine:
    """Check the machine in a file and put it into the cache, beside others.

    It takes the place of none, and new recordings do not use it unless it is chosen.

    :raises RecordingError: when the file is damaged or no machine.
    :raises SetupError: when the disk has no room for it.
    """
    with reading(path) as (file, reader):
        table = _read(path, file, reader)
        files.need_space(cache_dir(), sum(part.size for part in table.parts))
        place = cache_dir() / "guest" / f"received-{table.guest_image}"
        with (
            tempfile.TemporaryDirectory(dir=cache_dir()) as name,
            files.locked(f"guest-{place.name}"),
            files.publish(place) as folder,
            progress.task(f"importing {path.name}", len(table.parts), "files") as task,
        ):
            start = Path(name)
            folder.mkdir()
            entries = reader.entries((part.entry, part.stored) for part in table.parts)
            for number, (part, (_, entry)) in enumerate(zip(table.parts, entries, strict=True)):
                kind, _, rest = part.name.partition("/")
                unpack_part(part, entry, (start if kind == "firmware" else folder) / rest)
                task.update(number + 1)
            firmware_files = _check(table, folder, start)
    guest = image.find(table.guest_image)
    assert guest is not None  # it has just been put there
    return machines.note(guest, firmware.install(firmware_files), table.board)


def _read(path: Path, file: BinaryIO, reader: archive.Reader) -> _Table:
    data = reader.first(NAME, _MAX_BYTES)
    try:
        table = _FILE.decode(data)
    except NewerFormat as problem:
        raise RecordingError(f"{path}: it {problem}", "update Branchpoint to import it") from None
    except ValueError as problem:
        raise ValueError(f"its {NAME} {problem}") from None
    entries = [(NAME, len(data)), *((part.entry, part.stored) for part in table.parts)]
    size, expected = os.fstat(file.fileno()).st_size, archive.length(entries)
    if size != expected:
        raise ValueError(f"it has {size} bytes instead of {expected}")
    return table


def _check(table: _Table, folder: Path, start: Path) -> dict[str, bytes]:
    """Check digests, and complete the guest image that was unpacked; returns the firmware."""
    if image.digest_of(folder) != table.guest_image:
        raise ValueError("its guest image is not the one that it names, or is for another version")
    files_of = {name: (start / name).read_bytes() for name in firmware.FILES}
    if firmware.digest_of(files_of) != table.firmware:
        raise ValueError("its firmware is not the one that it names")
    names = dict(zip(image.SYMBOLS, (table.symbols.switch, table.symbols.task), strict=True))
    young = dict(zip(image.YOUNG, table.symbols.young, strict=False))
    image.describe(folder, table.guest_image, names | young, table.packages)
    return files_of
