"""``branchpoint share``: a recording and its notebook as one file that others can open."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import zstandard
from blake3 import blake3

from branchpoint import progress
from branchpoint.errors import RecordingError
from branchpoint.futures.draws import FOLDER, ledger_of, questions
from branchpoint.guest import image
from branchpoint.sharing.bundle import archive, contents
from branchpoint.sharing.bundle.contents import Boot, Contents, Part, Symbols
from branchpoint.sharing.files import replacing
from branchpoint.sharing.proof import hygiene
from branchpoint.store import disk, manifest
from branchpoint.timeline.recorder.record import facts_of
from branchpoint.timeline.recording import Recording

SUFFIX = ".bpz"
_SMALL = 1 << 20  # bytes up to which compression may be slow
_WORTH = 0.9  # the share of its size that a compressed part may have at most
_PIECE = 1 << 20  # bytes read at once
_LISTS = ("recording/futures.jsonl", "recording/digests.jsonl", f"recording/{FOLDER}/")


@dataclass(frozen=True)
class File:
    """A part before it is packed."""

    name: str
    path: Path | None
    content: bytes = b""
    """The content, when there is no path."""

    def open(self) -> BinaryIO:
        if self.path is None:
            return io.BytesIO(self.content)
        return os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW), "rb")


def share(
    run: Recording,
    path: Path | str | None = None,
    *,
    notebook: Path | str | None = None,
    whole: bool = False,
) -> Path:
    """Write a recording, and a notebook about it, into one file; its path is returned.

    The file (default: the recording's name with ``.bpz``, next to it) has the recording without its
    checkpoints, which a replay makes again: about ten kilobytes to a few megabytes. With ``whole``
    it also has the images of its machine and the boot snapshot, about 120 MB for the demo, and can
    be replayed on computers that have only Branchpoint. A QEMU replays it if it boots the
    recording's machine to the same state, bit for bit; releases 10.0.x are expected to. Else
    Debian's is fetched and used. Equal content gives equal files. Damaged lines of the lists of
    futures, digests and draws are left out, and named in ``run.warnings`` afterwards.

    :raises RecordingError: when the file exists already, when an image or the notebook is missing
        or damaged, or when the bundle would be too large.
    """
    target = Path(path) if path is not None else run.path.with_suffix(SUFFIX)
    if os.path.lexists(target):
        raise RecordingError(f"{target} exists already", "choose another name, or remove it first")
    if run.files.writable:
        run.files.events.sync()
    parts = _recorded(run)
    name = ""
    if notebook is not None:
        name = Path(notebook).name
        parts.append(File("notebook.ipynb", None, _cleaned(Path(notebook))))
    boot, symbols = None, None
    if whole:
        images, boot, symbols = _images(run)
        parts += images
    parts.sort(key=lambda part: part.name)
    with replacing(target) as out, tempfile.TemporaryFile(dir=target.parent) as room:
        head = run.manifest
        try:
            packed = list(packed_parts(parts, room))
            table = Contents(
                title=head.title, engine=head.engine, machine=head.machine, notebook=name,
                parts=packed, boot=boot, symbols=symbols,
            )  # fmt: skip
            data = contents.encode(table)
            contents.decode(data)  # what could not be opened must not be written
        except ValueError as problem:
            raise RecordingError(f"{run.path} cannot be shared: {problem}") from None
        _write(out, data, packed, room, target)
    return target


def remarks(notebook: Path, bundle: Path) -> list[str]:
    """What will not work for those who open a bundle with this notebook, in words."""
    target = bundle.with_suffix(".branchpoint").name
    code = [cell.get("source", "") for cell in hygiene.read(notebook)["cells"]]
    names = sorted(set(re.findall(r"[\w.-]+\.branchpoint\b", json.dumps(code))) - {target})
    return [
        f"{notebook.name} opens {name}, but the bundle becomes {target}: name it "
        f"{Path(name).stem}{SUFFIX}, or let the notebook use prepare_multiverse_debugging()"
        for name in names
    ]


def _write(out: BinaryIO, table: bytes, parts: list[Part], room: BinaryIO, target: Path) -> None:
    entries = [(contents.NAME, len(table)), *((part.entry, part.stored) for part in parts)]
    if archive.length(entries) > archive.LARGEST:
        raise RecordingError(
            f"{target} would have {archive.length(entries)} bytes, at most {archive.LARGEST} "
            "fit in one bundle",
            "share it without its images",
        )
    writer = archive.Writer(out)
    writer.add(contents.NAME, io.BytesIO(table), len(table))
    room.seek(0)
    for part in parts:
        writer.add(part.entry, room, part.stored)
    writer.finish()


def _recorded(run: Recording) -> list[File]:
    """The files of a recording that are shared: no caches, and nothing that is not ours."""
    folder = run.path
    os.close(disk.open_directory(folder))  # refuses links
    found = {"recording/recording.json": File("recording/recording.json", None, head_of(folder))}
    for path in sorted(folder.rglob("*")):
        name = f"recording/{path.relative_to(folder).as_posix()}"
        if path.is_file() and name not in found and contents.largest(name) is not None:
            found[name] = File(name, path)
    return [file for file in found.values() if not file.name.startswith(_LISTS)] + _lists(run)


def _lists(run: Recording) -> list[File]:
    """Futures, digests and curves without their damaged lines; the warnings name these."""
    found = run.files.sound()
    folder = run.files.folder(FOLDER, make=False)
    for question in questions(run.files):
        assert folder is not None
        ledger = ledger_of(run.files, folder, question.key)
        found |= {
            f"{FOLDER}/{question.key}.json": msgspec.json.encode(question) + b"\n",
            f"{FOLDER}/{question.key}.jsonl": ledger.sound(),
        }
        for problem in ledger.damage:
            run.files.harm(problem)
    return [File(f"recording/{name}", None, data) for name, data in found.items()]


def head_of(folder: Path) -> bytes:
    """``recording.json`` of a recording, or its copy where it is damaged.

    :raises RecordingError: when both are damaged, or it is no recording.
    """
    problems = []
    root = disk.open_directory(folder)
    try:
        for name in ("recording.json", "recording.json.bak"):
            try:
                data = disk.read_file(root, name, f"{folder}/{name}", manifest.MAX_BYTES)
                manifest.decode(data, f"{folder}/{name}")
                return data
            except RecordingError as problem:
                problems.append(problem)
    finally:
        os.close(root)
    raise problems[0]


def _cleaned(notebook: Path) -> bytes:
    if not re.fullmatch(contents.NOTEBOOK_NAME, notebook.name):
        raise RecordingError(
            f"{notebook} has a name that cannot be shared",
            "rename it: begin with a letter or digit, no special characters, .ipynb at the end",
        )
    found = hygiene.read(notebook)
    cleaned = hygiene.clean(found)
    return notebook.read_bytes() if cleaned == found else hygiene.write(cleaned)


def _images(run: Recording) -> tuple[list[File], Boot, Symbols]:
    """The images and the boot snapshot; booted now if nobody visited the recording before."""
    snapshot = run.replayer.snapshot
    guest = image.find(run.manifest.machine.guest_image)
    assert guest is not None  # the snapshot was made of it
    _, system = snapshot.spec.modules
    files = [
        File("guest/vmlinuz", guest.kernel),
        File("guest/initrd", guest.initrd),
        File("guest/toolbox", guest.toolbox),
        File("system/system", system),
        File("boot/memory", snapshot.template),
        File("boot/devices", None, snapshot.state.devices),
    ]
    if run.manifest.machine.firmware:
        content = snapshot.firmware.files
        files += [File(f"firmware/{name}", None, data) for name, data in content.items()]
    switch, task = (guest.kallsyms[name] for name in image.SYMBOLS)
    boot = Boot(at=snapshot.state.at, engine=facts_of(snapshot.engine))
    return files, boot, Symbols(switch=switch, task=task, young=list(guest.young))


def packed_parts(files: list[File], room: BinaryIO) -> Iterator[Part]:
    """Pack the files one behind the other into ``room``; yields the part of each."""
    with progress.task("packing", len(files), "files") as task:
        for number, file in enumerate(files):
            task.update(number, file.name)
            with file.open() as content:
                yield _pack(file.name, content, room)


def _pack(name: str, content: BinaryIO, room: BinaryIO) -> Part:
    size = content.seek(0, os.SEEK_END)
    content.seek(0)
    reading: Any = _Hashed(content)
    start = room.tell()
    if size <= _SMALL:
        packer = zstandard.ZstdCompressor(level=19)
    else:
        packer = zstandard.ZstdCompressor(level=3, threads=-1)
    read, stored = packer.copy_stream(reading, room, size=size)
    packed = stored < _WORTH * size
    if not packed:
        room.seek(start)
        room.truncate()
        content.seek(0)
        stored = size
        shutil.copyfileobj(content, room, _PIECE)
    if read != size or room.tell() != start + stored:
        raise RecordingError(f"{name} changed while it was being packed", "try again")
    digest = reading.digest.hexdigest()
    return Part(name=name, size=size, blake3=digest, stored=stored, packed=packed)


class _Hashed:
    """A file that notes the digest of what is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = blake3()

    def read(self, size: int) -> bytes:
        piece = self._file.read(size)
        self.digest.update(piece)
        return piece
