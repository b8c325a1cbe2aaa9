"""Files of the project that are mounted into containers, secrets and configs among them.

The machine cannot write to files of this computer, so everything is a copy. Read-only mounts show
the copy in the system image. A source that any container may write to gets a writable layer above
it, which all containers that mount it, or something in it, share.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

from blake3 import blake3

from branchpoint.guest.tree import Tree
from branchpoint.system.bundle.oci import RUN, Bind
from branchpoint.system.images import projectfiles
from branchpoint.system.images.accounts import Identity
from branchpoint.system.model import FileEntry, Mount, System

_IN_IMAGE = "branchpoint/binds"
_GRANTED = "branchpoint/granted"
_FILES = "files"


@dataclass(frozen=True)
class Writable:
    """A writable copy of a file or directory: ``lower`` is what it starts with, in the guest.

    ``folder`` has its writable layer, and the place where containers find it.
    """

    lower: str
    folder: str
    file: bool
    uid: int
    gid: int

    @property
    def layer(self) -> str:
        return f"{self.folder}/rw"

    @property
    def place(self) -> str:
        return f"{self.folder}/{_FILES}"


class ProjectMounts:
    """Where in the guest each mounted file or directory of the project is."""

    def __init__(self, system: System) -> None:
        self._digest = cache(digest)  # many containers may mount the same large directory
        mounts = [
            mount
            for container in system.containers
            for service in system.versions_of(container)
            for mount in service.mounts
            if mount.kind == "bind"
        ]
        written = dict.fromkeys(mount.source for mount in mounts if not mount.read_only)
        self._written = [
            source
            for source in written
            if not any(_inside(source, other) for other in written if other != source)
        ]
        self._fixed = list(
            dict.fromkeys(m.source for m in mounts if self._writable_around(m.source) is None)
        )
        self._owners: dict[str, Identity] = {}

    def place(self, mount: Mount, user: Identity) -> str:
        """The path in the guest of what is mounted; ``user`` is whom its container runs as.

        A writable copy belongs to the user of the first container that may write to it.
        """
        around = self._writable_around(mount.source)
        if around is None:
            return f"/system/{_IN_IMAGE}/{self._digest(mount.source)[:16]}"
        if not mount.read_only:
            self._owners.setdefault(around, user)
        relative = PurePath(mount.source).relative_to(around)
        return str(PurePath(self._folder(around), _FILES, relative))

    def add_to(self, tree: Tree) -> list[Writable]:
        """Copy everything into the system image; call it when every place has been asked for."""
        for source in self._fixed:
            _add(tree, source, f"{_IN_IMAGE}/{self._digest(source)[:16]}", 0, 0)
        found = []
        for source in self._written:
            user = self._owners[source]
            owned = f"-{user.uid}-{user.gid}" if (user.uid, user.gid) != (0, 0) else ""
            lower = f"{_IN_IMAGE}/{self._digest(source)[:16]}{owned}"
            _add(tree, source, lower, user.uid, user.gid)
            is_file = Path(source).is_file()
            folder = self._folder(source)
            found.append(Writable(f"/system/{lower}", folder, is_file, user.uid, user.gid))
        return found

    def _writable_around(self, source: str) -> str | None:
        """The writable source that is this one or contains it."""
        return next((other for other in self._written if _inside(source, other)), None)

    def _folder(self, source: str) -> str:
        """Numbered, as the path on this computer must not decide anything."""
        return f"{RUN}/b/{self._written.index(source)}"


def grant(entry: FileEntry, tree: Tree) -> Bind:
    """Copy a secret or a config into the system image; returns how a container gets it.

    :raises ImageError: as :func:`projectfiles.copy` does.
    """
    content = (entry.text or "").encode("utf-8", "surrogateescape")
    made = digest(entry.source) if entry.source else blake3(content).hexdigest()
    place = f"{_GRANTED}/{made[:16]}-{entry.mode:o}-{entry.uid}-{entry.gid}"
    if place not in tree and entry.source:
        mode = entry.mode if Path(entry.source).is_file() else None
        projectfiles.copy(Path(entry.source), tree, place, entry.uid, entry.gid, mode)
    elif place not in tree:
        tree.add_file(place, content, entry.mode or 0, entry.uid, entry.gid)
    return Bind(f"/system/{place}", entry.target, True)


def digest(source: str) -> str:
    """A digest (hex) of what is copied; of a missing directory too, which counts as empty.

    :raises ImageError: as :func:`projectfiles.digest` does.
    """
    return projectfiles.digest(Path(source)) if Path(source).exists() else "0" * 64


def _add(tree: Tree, source: str, place: str, uid: int, gid: int) -> None:
    if place in tree:
        return
    if Path(source).exists():
        projectfiles.copy(Path(source), tree, place, uid, gid)
    else:
        tree.add_dir(place, 0o755, uid, gid)


def _inside(path: str, directory: str) -> bool:
    """Whether ``path`` is that directory, or in it and copied with it."""
    if not PurePath(path).is_relative_to(directory):
        return False
    below = PurePath(path).relative_to(directory).parts
    return not any(projectfiles.is_left_out(part) for part in below)
