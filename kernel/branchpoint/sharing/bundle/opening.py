"""``branchpoint open triage.bpz``: from a bundle, which a stranger may have made, to a
recording.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from branchpoint import decoding, progress
from branchpoint.errors import RecordingError
from branchpoint.futures.recording import Recording
from branchpoint.futures.recording import open_recording as open_folder
from branchpoint.sharing.bundle import archive, contents, mistaken
from branchpoint.sharing.bundle.contents import Contents, Part
from branchpoint.sharing.bundle.differences import differences
from branchpoint.sharing.bundle.installing import Installation
from branchpoint.sharing.proof import hygiene
from branchpoint.store import disk, manifest
from branchpoint.timeline import recording as timeline

SUFFIX = ".branchpoint"
_PIECE = 1 << 20  # bytes unpacked at once
_WINDOW = 8 << 20  # bytes that decompression may look back
_GROWING = (
    "recording/futures.jsonl",
    "recording/digests.jsonl",
    "recording/curves/",
    "recording/events/",
)
"""Files that only grow when a recording is used."""


@dataclass(frozen=True)
class Opened:
    """What a bundle became."""

    path: Path
    """The recording's folder."""
    notebook: Path | None
    """The notebook beside it."""
    notes: list[str] = field(default_factory=list)
    """What its user should know, in words."""


def open_recording(path: Path | str) -> Recording:
    """Open a recording, or a bundle that has one in it. Nothing runs until a moment is visited.

    A recording is a folder. A bundle (``.bpz``) is checked and unpacked next to itself, into a
    folder of its name with ``.branchpoint``; when it was unpacked before, that is opened. What is
    missing on this computer, or differs, is in the recording's ``warnings``.

    Each opening is closed on its own, at the end of its ``with`` or by ``close()``. When this
    process has the recording open already, both openings share its emulators and branches and are
    equal (``==``). The emulators end when the last opening is closed or garbage-collected. So a
    cell may open it again and again.

    :raises RecordingError: when it is neither, is too damaged to use, or needs an image that is not
        on this computer.
    """
    mistaken.check(path)
    if not Path(path).is_file():
        return open_folder(path)
    opened = unpack(path)
    run = open_folder(opened.path)
    for note in [*opened.notes, *differences(run)]:
        run.files.warn(note)
    return run


@contextlib.contextmanager
def briefly(recording: timeline.Recording | Path | str) -> Iterator[timeline.Recording]:
    """An open recording for a while; one from a bundle is unpacked into a temporary folder."""
    if isinstance(recording, timeline.Recording):
        yield recording
        return
    mistaken.check(recording)
    if Path(recording).is_file():
        with tempfile.TemporaryDirectory(prefix="branchpoint-") as folder:
            path = unpack(recording, Path(folder) / f"{Path(recording).stem}{SUFFIX}").path
            with open_folder(path) as run:
                yield run
    else:
        with open_folder(recording) as run:
            yield run


def unpack(bundle: Path | str, path: Path | str | None = None, *, trust: bool = False) -> Opened:
    """Check a bundle and unpack it, into ``path`` or next to it.

    Nothing that exists is changed. A recording that is there already, and is the same or has grown
    since, is used as it is. Images of a whole bundle go into the cache, under names of their own.
    With ``trust``, so does its boot snapshot, which saves the seconds of a boot here: it is loaded
    into the emulator unchecked, so use this only for bundles from people whom you trust.

    :raises RecordingError: when the bundle is damaged or dangerous, or something else is at
        ``path``.
    :raises SetupError: when the disk has no room for its images.
    """
    bundle = Path(bundle)
    mistaken.check(bundle)
    target = Path(path) if path is not None else bundle.with_suffix(SUFFIX)
    with reading(bundle) as (file, reader):
        unpacking = _Unpacking(bundle, _table(bundle, file, reader), target, trust)
        unpacking.run(reader)
        return Opened(target, unpacking.notebook, unpacking.notes)


def contents_of(bundle: Path) -> Contents:
    """The table of contents of a bundle, whose parts are not checked.

    :raises RecordingError: when it is not a sound bundle.
    """
    with reading(bundle) as (file, reader):
        return _table(bundle, file, reader)


@contextlib.contextmanager
def reading(bundle: Path) -> Iterator[tuple[BinaryIO, archive.Reader]]:
    """An open bundle; anything that is wrong with it becomes an error that names it."""
    try:
        with disk.explained(f"{bundle} cannot be read"):
            fd = os.open(bundle, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(fd, "rb") as file:
                disk.check_regular(file.fileno(), str(bundle))
                yield file, archive.Reader(file)
    except ValueError as problem:
        raise RecordingError(
            f"{bundle} is not a sound bundle: {problem}",
            "get it again from where it came; nothing of it was kept",
        ) from None


def _table(bundle: Path, file: BinaryIO, reader: archive.Reader) -> Contents:
    data = reader.first(contents.NAME, contents.MAX_BYTES)
    try:
        table = contents.decode(data)
    except RecordingError as problem:
        raise RecordingError(f"{bundle}: {problem.message}", problem.hint) from None
    size = os.fstat(file.fileno()).st_size
    entries = [(contents.NAME, len(data)), *((p.entry, p.stored) for p in table.parts)]
    expected = archive.length(entries)
    if size < expected:
        raise ValueError(f"it is cut off: {size} of {expected} bytes are there")
    if size > expected:
        raise ValueError(f"{size - expected} bytes follow its end")
    return table


class _Unpacking:
    """One bundle and the folder that it becomes."""

    def __init__(self, bundle: Path, table: Contents, target: Path, trust: bool) -> None:
        self.bundle = bundle
        self.table = table
        self.target = target
        self.notebook = target.parent / table.notebook if table.notebook else None
        self.notes: list[str] = []
        self._boot = table.boot_name if trust and table.boot is not None else ""
        self._installation = Installation(table, trust)
        self._wants_recording = not os.path.lexists(target)
        self._wants_notebook = self.notebook is not None and not os.path.lexists(self.notebook)
        if not self._wants_recording:
            self._check_same()
        if self.notebook is not None and not self._wants_notebook:
            part = table["notebook.ipynb"]
            if _digest_of(self.notebook, part.size) != part.blake3:
                self.notes.append(
                    f"{self.notebook} is not the notebook of {bundle} and was left as it is; to "
                    "have that one, move yours away and open the bundle again"
                )

    def _check_same(self) -> None:
        """Refuse a folder that is not the recording of the bundle, grown or not."""
        for part in self.table.recording:
            path = self.target / part.name.removeprefix("recording/")
            if _digest_of(path, part.size, part.name.startswith(_GROWING)) != part.blake3:
                raise RecordingError(
                    f"{self.target} exists already, and is not the recording in {self.bundle}: "
                    f"{path.relative_to(self.target)} differs",
                    f"move it away, or unpack elsewhere: branchpoint open BUNDLE -o OTHER{SUFFIX}",
                )

    def run(self, reader: archive.Reader) -> None:
        """Check every byte and unpack what is not there; nothing of it stays after an error."""
        if self._wants_recording or self._wants_notebook or self._installation.wanted:
            self._need_space()
            self._unpack_all(reader)
        if self._boot:
            self._name_boot()

    def _unpack_all(self, reader: archive.Reader) -> None:
        with disk.explained(f"{self.target} cannot be written"):
            holder = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.parent))
            try:
                unfinished = holder / self.target.name
                unfinished.mkdir()
                with self._installation.folders() as folders:
                    folders["recording"] = unfinished
                    folders["notebook.ipynb"] = holder
                    self._unpack(reader, folders)
                    self._finish(unfinished)
                if self._wants_recording:
                    _sync_all(unfinished)
                    self._publish(unfinished)
                if self._wants_notebook and self.notebook is not None:
                    _sync(holder / "notebook.ipynb")
                    (holder / "notebook.ipynb").rename(self.notebook)
                _sync(self.target.parent)
            finally:
                shutil.rmtree(holder, ignore_errors=True)

    def _name_boot(self) -> None:
        """Note in the recording which boot snapshot is its own."""
        root = disk.open_directory(self.target)
        try:
            name = f"{self._boot}\n".encode()
            disk.write_file(root, "boot", name, f"{self.target}/boot", sync=False)
        finally:
            os.close(root)

    def _publish(self, unfinished: Path) -> None:
        try:
            unfinished.rename(self.target)
        except OSError as problem:
            if problem.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            self._check_same()  # somebody else has opened the bundle meanwhile

    def _need_space(self) -> None:
        self._installation.need_space()
        wanted = sum(part.size for part in self.table.recording)
        with disk.explained(f"{self.target.parent} cannot be written"):
            free = shutil.disk_usage(self.target.parent).free
        if wanted > free:
            raise RecordingError(
                f"{self.bundle} needs {wanted} bytes in {self.target.parent}, which has {free}",
                "free some space, or open a copy of it elsewhere",
            )

    def _unpack(self, reader: archive.Reader, folders: dict[str, Path]) -> None:
        parts = self.table.parts
        total = sum(part.size for part in parts) / 1e6
        done = 0.0
        with progress.task(f"opening {self.bundle.name}", total, "MB") as task:
            entries = reader.entries((part.entry, part.stored) for part in parts)
            for part, (_, entry) in zip(parts, entries, strict=True):
                task.update(done, part.name)
                kind, _, rest = part.name.partition("/")
                folder = folders.get(kind)
                unpack_part(part, entry, None if folder is None else folder / (rest or kind))
                done += part.size / 1e6

    def _finish(self, folder: Path) -> None:
        """Check that what was unpacked is a recording, and complete it."""
        data = (folder / "recording.json").read_bytes()
        head = manifest.decode(data, f"{self.bundle}: recording.json")
        if (head.machine, head.engine) != (self.table.machine, self.table.engine):
            raise ValueError("it names another machine than its recording.json")
        if "notebook.ipynb" in [part.name for part in self.table.parts]:
            path = folder.parent / "notebook.ipynb"
            hygiene.parse(path.read_bytes(), f"{self.bundle}: its notebook")
        (folder / "recording.json.bak").write_bytes(data)


def unpack_part(part: Part, entry: archive.Entry, path: Path | None) -> None:
    """Check one part and write it to ``path``, if that is given."""
    read: Callable[[int], bytes] = entry.read
    if part.packed:
        read = decoding.zstd_stream(entry, _WINDOW)
    digest, left = blake3(), part.size
    with contextlib.ExitStack() as stack, decoding.decompressing():
        out = None
        if path is not None:
            path.parent.mkdir(exist_ok=True)
            out = stack.enter_context(path.open("xb"))
            out.truncate(part.size)
        while piece := read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise ValueError(f"{part.name} is larger than the {part.size} bytes it should have")
            digest.update(piece)
            if out is not None:
                _write(out, piece)
    if left:
        raise ValueError(f"{part.name} lacks {left} of the {part.size} bytes it should have")
    if digest.hexdigest() != part.blake3:
        raise ValueError(f"{part.name} does not match its digest")


def _write(out: BinaryIO, piece: bytes) -> None:
    """Write a piece, leaving a hole where it is all zero: images are mostly that."""
    if piece.count(0) == len(piece):
        out.seek(len(piece), os.SEEK_CUR)
    else:
        out.write(piece)


def _digest_of(path: Path, size: int, may_be_longer: bool = False) -> str:
    """The digest of a file of ``size`` bytes, or of its beginning; "" if it has another size."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            found = disk.check_regular(fd, str(path))
            if found != size and not (may_be_longer and found > size):
                return ""
            digest = blake3()
            while size and (piece := file.read(min(_PIECE, size))):
                size -= len(piece)
                digest.update(piece)
            return digest.hexdigest()
    except (OSError, RecordingError):
        return ""


def _sync_all(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
