"""The files that a system is read from, with one numbering for the lines of all of them.

A value keeps only the number of its line. The lines of the first file have their own numbers, those
of the second one follow, and so on; errors and notes say the file and the line in it.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from pathlib import Path

from branchpoint.errors import ComposeError


@dataclass(frozen=True)
class SourceFile:
    """One file: ``before`` lines are before its own; its relative paths start at ``folder``."""

    path: Path
    before: int
    folder: Path


class Files:
    """All files that have been read so far."""

    def __init__(self) -> None:
        self._files: list[SourceFile] = []
        self._lines = 0

    def add(self, path: Path, folder: Path, lines: int) -> SourceFile:
        """Number the lines of one more file."""
        added = SourceFile(path, self._lines, folder)
        self._files.append(added)
        self._lines += lines + 1  # one more, for errors about the end of the file
        return added

    def of(self, line: int) -> SourceFile:
        """The file that the line is in."""
        return self._files[bisect.bisect_right(self._files, line, key=lambda f: f.before + 1) - 1]

    def error(self, line: int, message: str, hint: str = "") -> ComposeError:
        """An error about the line, with its file and its number there."""
        file = self.of(line)
        return ComposeError(message, file.path, line - file.before, hint)

    def said(self, line: int) -> str:
        """Where the line is, in words."""
        file = self.of(line)
        name = f" of {file.path.name}" if file is not self._files[0] else ""
        return f"line {line - file.before}{name}"

    def places(self) -> tuple[tuple[str, int], ...]:
        """(path, lines before it) of each file, for :attr:`System.files`."""
        return tuple((str(file.path), file.before) for file in self._files)
