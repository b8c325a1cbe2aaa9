"""The build context: the files of the project that COPY and ADD can see.

As with all files of the project, neither owners nor exact permissions count, and ``.git``,
``__pycache__`` and recordings are left out: see :mod:`branchpoint.system.images.projectfiles`.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from branchpoint.errors import ImageError
from branchpoint.system.images import projectfiles
from branchpoint.system.images.dockerfile.patterns import Ignored, Rules, compiled, is_pattern
from branchpoint.system.images.dockerfile.syntax import Instruction
from branchpoint.system.images.projectfiles import Entry

_DEEPEST = 200  # levels of directories


@dataclass(frozen=True)
class Found:
    """A file or directory that a source of COPY means, with all of it that is not ignored."""

    way: str
    """Its path in the context."""
    path: Path
    entries: tuple[Entry, ...]

    def without(self, excluded: Rules) -> Found | None:
        """The same without what is excluded, by paths in it; None when it is a file that is."""
        if not stat.S_ISDIR(self.entries[0][2].st_mode):
            return None if posixpath.basename(self.way) in excluded else self
        return replace(self, entries=tuple(e for e in self.entries if e[0] not in excluded))

    def digest(self) -> str:
        """Of its path and all that would be copied."""
        return f"{self.way}\0{projectfiles.digest(self.path, self.entries)}"


class Context:
    """A directory, without what ``.dockerignore`` leaves out."""

    def __init__(self, folder: Path, dockerfile: Path | None) -> None:
        self.folder = Path(os.path.realpath(folder))
        own = dockerfile.with_name(f"{dockerfile.name}.dockerignore") if dockerfile else None
        candidates = [own] if own is not None else []
        candidates.append(self.folder / ".dockerignore")
        self._ignored = Ignored(next((file for file in candidates if file.is_file()), None))
        self.taken: list[Found] = []
        """All that was found in it so far."""

    def find(self, instruction: Instruction, source: str) -> list[Found]:
        """What a source of COPY or ADD means, in the order of names; always at least one.

        :raises ImageError: with file and line, when there is nothing, or it is outside.
        """
        # As in docker, the context is the root: no ".." leads out of it.
        parts = [part for part in posixpath.normpath(f"/{source}").split("/") if part]
        ways = [""]
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            ways = [
                way for before in ways for way in self._matches(instruction, before, part, last)
            ]
        found = [self._found(instruction, way) for way in ways]
        found = [each for way, each in zip(ways, found, strict=True) if self._keeps(way, each)]
        if not found:
            hint = "paths are relative to the context"
            if ways:
                hint = f"{self._ignored.file} leaves it out"
            raise instruction.error(f'there is no "{source:.200}" in {self.folder}', hint)
        self.taken += found
        return found

    def _matches(
        self, instruction: Instruction, before: str, part: str, last: bool
    ) -> Iterator[str]:
        """The paths in the directory ``before`` whose last part is ``part``, or fits it."""
        folder = self._inside(instruction, before)
        names = [part]
        if is_pattern(part):
            pattern = compiled(part)
            if pattern is None:
                raise instruction.error(f'"{part:.80}" is not a pattern of names')
            try:
                names = _names(folder) if folder.is_dir() else []
            except OSError as error:
                raise instruction.error(f"{folder} cannot be read: {error.strerror}") from None
            names = [name for name in names if pattern.fullmatch(name)]
            if last:
                names = [name for name in names if not projectfiles.is_left_out(name)]
        for name in names:
            way = f"{before}/{name}".lstrip("/")
            if os.path.lexists(self.folder / way):
                yield way

    def _inside(self, instruction: Instruction, way: str) -> Path:
        """Where a path of the context really lies.

        :raises ImageError: with file and line, when a link leads out of the context.
        """
        real = Path(os.path.realpath(self.folder / way))
        if not real.is_relative_to(self.folder):
            raise instruction.error(
                f"{self.folder / way} leads out of the context",
                f"COPY sees only what is in {self.folder}: copy the file there, not a link",
            )
        return real

    def _keeps(self, way: str, found: Found) -> bool:
        """Whether it is not ignored, or something in it is not."""
        return way not in self._ignored or (self._ignored.has_exceptions and len(found.entries) > 1)

    def _found(self, instruction: Instruction, way: str) -> Found:
        path = self._inside(instruction, way)
        if not path.exists():
            raise instruction.error(f"{self.folder / way} is a broken link")
        entries: list[Entry] = []
        size = 0
        for entry in self._walk(way, path, "", 0):
            entries.append(entry)
            size += entry[2].st_size if stat.S_ISREG(entry[2].st_mode) else 0
            if len(entries) > projectfiles.MAX_FILES or size > projectfiles.MAX_BYTES:
                raise instruction.error(
                    f"{path} has more than {projectfiles.MAX_FILES} files or "
                    f"{projectfiles.MAX_BYTES >> 30} GiB",
                    "leave out what is not needed, by a file .dockerignore",
                )
        return Found(way, path, tuple(entries))

    def _walk(self, way: str, path: Path, relative: str, depth: int) -> Iterator[Entry]:
        """A path and all below it, names sorted bytewise; links are followed only at the top."""
        if depth > _DEEPEST:
            raise ImageError(f"{path} lies more than {_DEEPEST} levels deep")
        status, names = projectfiles.look(path, follow=not relative)
        yield relative, path, status
        for name in names:
            below = f"{way}/{name}".lstrip("/")
            inside = f"{relative}/{name}".lstrip("/")
            if below not in self._ignored:
                yield from self._walk(below, path / name, inside, depth + 1)
            elif self._ignored.has_exceptions and _is_folder(path / name):
                first, *others = self._walk(below, path / name, inside, depth + 1)
                if others:  # a directory that is left out, with something in it that is not
                    yield first
                    yield from others


def _names(folder: Path) -> list[str]:
    return sorted((path.name for path in folder.iterdir()), key=os.fsencode)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
