"""A recording on disk: the directory ``X.branchpoint/``.

``recording.json``      what the recording is (see :mod:`manifest`); all the rest can be recreated
``recording.json.bak``  the same again, for when the first is damaged
``futures.jsonl``       the branches that were made
``digests.jsonl``       digests of machine states, to notice a replay that diverges
``events/``             what happened
``curves/``             outcomes of futures (see :mod:`branchpoint.futures.draws`)
``checkpoints/<ns>``    machine states at instants, as differences to earlier ones
``pages/``              the memory pages that checkpoints need
``boot``                which boot snapshot came with a recording that somebody else made

One process records and any number read. All of them may add branches and draws, because these are
only appended to lists (:mod:`ledger`). A process killed at any instant leaves a directory that
opens with everything that was written. Damaged parts are named in ``warnings`` and left out; a
recording cannot be opened only when both copies of ``recording.json`` are lost.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from bisect import bisect_right
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any

from msgspec import Meta, Struct

from branchpoint.clock import format_vtime
from branchpoint.errors import DivergenceError, RecordingError
from branchpoint.events.event import EventLog
from branchpoint.events.eventfile import EventFile, Gap
from branchpoint.machine.pages import Hashes, Pages, Slots
from branchpoint.store import checkpoints, disk, manifest
from branchpoint.store.checkpoints import Checkpoint
from branchpoint.store.ledger import Ledger
from branchpoint.store.manifest import Input, Manifest, Ns
from branchpoint.store.pagestore import PageStore

MANIFEST = "recording.json"
"""The file that makes a directory a recording."""
_COPY = "recording.json.bak"
_INSTANT = re.compile(r"(0|[1-9][0-9]{0,18})")
_BOOT = re.compile(r"[0-9a-f]{32}")
Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\Z", max_length=64)]


class Future(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """A branch: where it leaves its parent, and the inputs that it got since; it goes on as the
    recording does, but ``without`` some later ones."""

    id: Id
    parent: Id | None
    """None: the recording itself."""
    at: Ns
    """The instant of the fork."""
    inputs: list[Input] = []
    without: list[Input] = []
    note: str = ""

    def __post_init__(self) -> None:
        if (instants := [self.at, *(i.at for i in self.inputs)]) != sorted(instants):
            raise ValueError("inputs are not in the order of time")


class Mark(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The digest of the machine's state at one instant of the recording."""

    at: Ns
    digest: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class RecordingFiles:
    """An open recording directory. Made by :meth:`create` and :meth:`open`."""

    def __init__(
        self, path: Path, root: int, writable: bool, head: Manifest | None, *, keeps: bool = False
    ) -> None:
        self.path = path
        self.writable = writable
        """Whether it is being recorded here: everything may be changed."""
        self.keeps = keeps or writable
        """Whether branches and draws are kept in it."""
        self._notes: list[str] = []
        self._remarks: list[str] = []
        self._root: int | None = root
        status = os.fstat(root)
        self.identity = status.st_dev, status.st_ino
        """Identifies its directory while it is open, whatever path leads there."""
        self._usable_now: dict[int, bool] = {}  # checkpoints that were looked at
        self._losses = 0  # pages lost when they were looked at
        self._decoded: dict[int, Checkpoint] = {}
        self._folders: dict[str, int | None] = {}
        with contextlib.ExitStack() as undo:
            undo.callback(os.close, root)
            if writable and not disk.lock(root):
                raise RecordingError(
                    f"{path} is being written, here or in another process",
                    "open it for reading only, or close it there first",
                )
            if self.keeps and not os.access(path, os.W_OK):
                self.keeps = False
                self.warn(f"{path} is not writable: branches and curves are not kept in it")
            if head is None:
                self.manifest = self._load_manifest()
            else:
                self.manifest = head
                self._write_manifest(head)
            directories = []
            for name in ("events", "checkpoints", "pages"):
                fd = self._open_directory(root, name, self.writable)
                directories.append(fd)
                if fd is not None:
                    undo.callback(os.close, fd)
            events, self._checkpoints, packs = directories
            self.pages = PageStore(packs, f"{path}/pages", write=writable)
            undo.callback(self.pages.close)
            self.events = EventFile(events, f"{path}/events", write=writable)
            undo.callback(self.events.close)
            self._futures = Ledger(root, "futures.jsonl", Future, f"{path}/futures.jsonl")
            self._marks = Ledger(root, "digests.jsonl", Mark, f"{path}/digests.jsonl")
            self._branches = {future.id: future for future in self._futures.read()}
            self.digests = {mark.at: bytes.fromhex(mark.digest) for mark in self._marks.read()}
            """Known digests of the machine's state, by absolute ns."""
            self._instants = self._list_checkpoints()
            self._close = undo.pop_all()

    # Opening and closing

    @classmethod
    def create(cls, path: Path | str, head: Manifest) -> RecordingFiles:
        """Make the directory of a new recording and become its writer."""
        path = Path(path)
        manifest.decode(manifest.encode(head))
        try:
            path.mkdir()
        except FileExistsError:
            raise RecordingError(
                f"{path} exists already", "choose another name, or remove it first"
            ) from None
        except OSError as problem:
            raise RecordingError(
                f"{path} cannot be created: {problem.strerror}", disk.advised(problem)
            ) from None
        try:
            return cls(path, disk.open_directory(path), True, head)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)  # it was made just now, so it is empty
            raise

    @classmethod
    def open(cls, path: Path | str, *, write: bool = False, keep: bool = False) -> RecordingFiles:
        """Open an existing recording. With ``keep``, branches and draws can be added, which any
        number of processes may do at once; with ``write``, all of it can be changed, by one process
        at a time.

        Where nothing may be written, ``keep`` gives a warning, not an error.
        """
        path = Path(path)
        return cls(path, disk.open_directory(path), write, None, keeps=keep)

    def _open_directory(self, root: int, name: str, make: bool) -> int | None:
        try:
            with disk.explained(f"{self.path}/{name} cannot be opened"):
                return disk.open_inside(root, name, create=make)
        except RecordingError as problem:
            if make:
                raise
            self._notes.append(problem.message)
            return None

    def folder(self, name: str, *, make: bool = True) -> int | None:
        """A descriptor of the directory ``name`` in the recording, valid while that is open.

        A missing one is made if draws are kept and ``make`` is true; otherwise the result is None.
        Without ``make``, one that cannot be opened is noted as damage, and the result is None, too.
        """
        if self._root is None:
            raise RecordingError(f"{self.path} is closed")
        if self._folders.get(name) is None:
            fd = self._folders[name] = self._open_directory(self._root, name, make and self.keeps)
            if fd is not None:
                self._close.callback(os.close, fd)
        return self._folders[name]

    def close(self) -> None:
        """Write what is waiting and release the directory; closing it again does nothing."""
        if self._root is None:
            return
        self._root = None
        with self._close:
            if self.writable:
                self.events.sync()
                self.pages.sync()

    def __enter__(self) -> RecordingFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def damage(self) -> list[str]:
        """The damage found so far, in words that name the file; damaged parts are left out."""
        return list(dict.fromkeys([*self._notes, *self._futures.damage, *self._marks.damage]))

    @property
    def warnings(self) -> list[str]:
        """The damage, and what else was noted about the recording while it was open."""
        return list(dict.fromkeys([*self.damage, *self._remarks]))

    def harm(self, note: str) -> None:
        """Add to ``damage`` what another module found damaged in this recording and leaves out."""
        if note not in self._notes:
            self._notes.append(note)

    def warn(self, note: str) -> None:
        """Add to ``warnings`` what another module noticed about this recording."""
        if note not in self._remarks:
            self._remarks.append(note)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._bytes(self.path)

    @property
    def size_without_pages(self) -> int:
        """Bytes on disk without checkpoints and pages: of what replays need and users read."""
        caches = ("checkpoints", "pages")
        return self.size - sum(self._bytes(self.path / name) for name in caches)

    def _bytes(self, directory: Path) -> int:
        with disk.explained(f"{directory} cannot be read"):
            return sum(
                (Path(folder) / name).lstat().st_size
                for folder, _, names in os.walk(directory)
                for name in names
            )

    def _writing(self) -> int:
        if self._root is None:
            raise RecordingError(f"{self.path} is closed")
        if not self.writable:
            raise RecordingError(f"{self.path} is open for reading only")
        return self._root

    def _keeping(self) -> None:
        if self.keeps and self._root is not None:
            return
        self._writing()

    @property
    def boot(self) -> str:
        """The name of the boot snapshot that came with this recording, or ""."""
        assert self._root is not None
        try:
            data = disk.read_file(self._root, "boot", f"{self.path}/boot", 128)
        except RecordingError:
            return ""
        name = data.decode("ascii", "replace").strip()
        return name if _BOOT.fullmatch(name) else ""

    # recording.json

    def save(self, head: Manifest) -> None:
        """Write the events taken so far, then ``head`` as ``recording.json``."""
        self._writing()
        self.events.flush()
        self.manifest = head.with_(event_blocks=self.events.count)
        self._write_manifest(self.manifest)

    def _write_manifest(self, head: Manifest) -> None:
        root = self._root
        assert root is not None
        shown = f"{self.path}/{MANIFEST}"
        data = manifest.encode(head)
        manifest.decode(data, shown)  # what could not be read again must not be written
        disk.write_file(root, MANIFEST, data, shown, sync=True)
        # A file of its own, not a hard link: damage to one must not be damage to both.
        disk.write_file(root, _COPY, data, f"{self.path}/{_COPY}", sync=False)

    def _load_manifest(self) -> Manifest:
        assert self._root is not None
        heads: list[Manifest | None] = []
        problems: list[RecordingError] = []
        for name in (MANIFEST, _COPY):
            shown = f"{self.path}/{name}"
            try:
                data = disk.read_file(self._root, name, shown, manifest.MAX_BYTES)
                heads.append(manifest.decode(data, shown))
            except RecordingError as problem:
                heads.append(None)
                problems.append(problem)
        first, copy = heads
        if first is None and copy is None:
            raise RecordingError(
                f"{problems[0].message}; {problems[1].message}",
                problems[0].hint or "restore one of the two files from a backup or another copy",
            )
        if first is None:
            self._notes.append(f"{problems[0].message}; {_COPY} is used in its place")
        elif copy is None:
            self._notes.append(f"{problems[0].message}; {MANIFEST} is good and is used")
        found = first or copy
        assert found is not None
        if problems and self.keeps:
            self._mend_manifest(found)
        return found

    def _mend_manifest(self, found: Manifest) -> None:
        assert self._root is not None
        if self.writable:
            self._write_manifest(found)
        elif disk.lock(self._root):  # else it is being recorded, and will be written anyway
            try:
                with contextlib.suppress(RecordingError):
                    self._write_manifest(found)
            finally:
                disk.unlock(self._root)

    # Events

    def load_events(self) -> tuple[EventLog, list[Gap]]:
        """All events that can be read, and where some are missing (:meth:`EventFile.fill`)."""
        log, gaps = self.events.load(self.manifest.event_blocks)
        if gaps:  # damage that a replay has filled since does not matter
            self._notes += self.events.damage
        for gap in gaps:
            self._notes.append(f"{self.path}/events: {self._stretch(gap)} are lost until replayed")
        return log, gaps

    def _stretch(self, gap: Gap) -> str:
        start = f" after {self._when(gap.start)}" if gap.start else ""
        end = f" before {self._when(gap.end)}" if gap.end is not None else ""
        return f"the events{start}{' and' if start and end else ''}{end}"

    def _when(self, at: int) -> str:
        return f"{format_vtime(at - self.manifest.origin)} s"

    # Branches

    @property
    def futures(self) -> dict[str, Future]:
        """The branches that were made, by id; also those that other processes made meanwhile."""
        if self._root is not None:
            self._branches.update((future.id, future) for future in self._futures.more())
        return self._branches

    def add_future(self, future: Future) -> None:
        """Store a branch, or the new state of a known one."""
        self._keeping()
        self._futures.append(future)
        self._branches[future.id] = future

    def sound(self) -> dict[str, bytes]:
        """The lists of branches and digests, by the names of their files, without damaged lines.

        Files that do not exist are left out.
        """
        assert self._root is not None
        lists: dict[str, Ledger[Any]] = {
            "futures.jsonl": self._futures,
            "digests.jsonl": self._marks,
        }
        there = os.listdir(self._root)  # noqa: PTH208 - by descriptor
        return {name: ledger.sound() for name, ledger in lists.items() if name in there}

    # Checkpoints

    @property
    def checkpoints(self) -> list[int]:
        """The instants of all stored checkpoints, usable or not, ascending."""
        return list(self._instants)

    def add_checkpoint(self, checkpoint: Checkpoint, pages: Pages) -> None:
        """Store a machine state; ``pages`` ``[n, 4096]`` have the hashes ``checkpoint.hashes``.

        Rows of pages that are AS_BOOTED are ignored. The parent must be stored already.

        :raises DivergenceError: when another state is known for that instant.
        """
        self._writing()
        if checkpoint.parent is not None and checkpoint.parent not in self._instants:
            raise ValueError(f"checkpoint {checkpoint.at} has no parent {checkpoint.parent}")
        known = self.digests.get(checkpoint.at)
        if known is not None and known != checkpoint.digest:
            raise DivergenceError(
                f"{self.path}: the machine at {self._when(checkpoint.at)} is not in the state that "
                "was recorded"
            )
        stored = checkpoint.hashes.any(axis=1)
        if stored.all():
            self.pages.add(checkpoint.hashes, pages)
        else:
            self.pages.add(checkpoint.hashes[stored], pages[stored])
        self._write_checkpoint(checkpoint)
        if known is None:
            self._marks.append(Mark(at=checkpoint.at, digest=checkpoint.digest.hex()))
            # A new dict: another thread, which plays the recording, may be reading the old one.
            self.digests = {**self.digests, checkpoint.at: checkpoint.digest}

    def checkpoint(self, at: int) -> Checkpoint:
        """The checkpoint at an instant, without its parents; RecordingError if it is unreadable."""
        found = self._decoded.get(at)
        if found is None:
            name = f"{self.path}/checkpoints/{at}"
            if self._checkpoints is None or at not in self._instants:
                raise RecordingError(f"{name} does not exist")
            data = disk.read_file(self._checkpoints, str(at), name, checkpoints.MAX_BYTES)
            found = checkpoints.decode(data, at, self.manifest.machine.ram, name)
            self._decoded[at] = found
        return found

    def pages_at(self, at: int) -> tuple[Slots, Hashes]:
        """Numbers and keys of all pages that differ from the boot snapshot at a checkpoint."""
        chain = [self.checkpoint(at)]
        while (parent := chain[-1].parent) is not None:
            chain.append(self.checkpoint(parent))
        return checkpoints.compose(chain[::-1])

    def nearest(self, at: int) -> int | None:
        """The latest complete checkpoint at or before ``at``; None when there is none.

        Incomplete ones are named in ``warnings`` and not tried again.
        """
        for instant in reversed(self._instants[: bisect_right(self._instants, at)]):
            if self._usable(instant):
                return instant
        return None

    def _usable(self, at: int) -> bool:
        if self._losses != self.pages.losses:  # what was good may now be damaged
            self._losses = self.pages.losses
            self._usable_now = {k: good for k, good in self._usable_now.items() if not good}
        if at not in self._usable_now:
            self._usable_now[at] = self._is_complete(at)
        return self._usable_now[at]

    def _is_complete(self, at: int) -> bool:
        try:
            _, hashes = self.pages_at(at)
            lost = self.pages.missing(hashes)
            if lost:
                self._notes += self.pages.damage
                raise RecordingError(f"{lost} of its pages are not in {self.path}/pages")
        except RecordingError as problem:
            self._notes.append(
                f"{self.path}: the checkpoint at {self._when(at)} is not used: {problem.message}"
            )
            return False
        return True

    def drop_checkpoint(self, at: int) -> None:
        """Remove a checkpoint; its children are rewritten as differences to its parent.

        Its digest stays known. Pages that only this checkpoint needed stay in the packs.
        """
        self._writing()
        if self._checkpoints is None or at not in self._instants:
            raise RecordingError(f"{self.path}/checkpoints/{at} does not exist")
        with contextlib.suppress(RecordingError):  # if it is damaged, its children were lost before
            dropped = self.checkpoint(at)
            for instant in self._instants[bisect_right(self._instants, at) :]:
                with contextlib.suppress(RecordingError):
                    child = self.checkpoint(instant)
                    if child.parent == at:
                        self._write_checkpoint(checkpoints.merge(dropped, child))
        with disk.explained(f"{self.path}/checkpoints/{at} cannot be removed"):
            os.unlink(str(at), dir_fd=self._checkpoints)
        self._instants.remove(at)
        self._decoded.pop(at, None)
        self._usable_now.clear()

    def _write_checkpoint(self, checkpoint: Checkpoint) -> None:
        assert self._checkpoints is not None
        name = f"{self.path}/checkpoints/{checkpoint.at}"
        data = checkpoints.encode(checkpoint)
        decoded = checkpoints.decode(data, checkpoint.at, self.manifest.machine.ram, name)
        disk.write_file(self._checkpoints, str(checkpoint.at), data, name, sync=False)
        self._decoded[checkpoint.at] = decoded
        # Other checkpoints may have lacked this one, or may be built on it.
        self._usable_now.clear()
        if checkpoint.at not in self._instants:
            self._instants.insert(bisect_right(self._instants, checkpoint.at), checkpoint.at)

    def _list_checkpoints(self) -> list[int]:
        if self._checkpoints is None:
            return []
        names = os.listdir(self._checkpoints)  # noqa: PTH208 - by descriptor
        found = sorted(int(name) for name in names if _INSTANT.fullmatch(name))
        return [instant for instant in found if instant < 2**63]
