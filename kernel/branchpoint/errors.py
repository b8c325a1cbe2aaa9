"""Errors: each message names what failed, and the hint says what to do next.

Every error that a user can cause or meet is a :class:`BranchpointError`; any other error that
reaches the user is a bug of ours.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_SHOWN = 20  # names in a hint


def near(name: str, known: Iterable[str]) -> str:
    """A hint: the most similar known name, or the only one that contains it, or all of them."""
    names = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    longer = [other for other in names if name and name in other]
    if not close and len(longer) == 1:
        close = longer
    if close:
        return f'did you mean "{close[0]}"?'
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"there are: {', '.join(names[:_SHOWN]) or 'none'}{more}"


class BranchpointError(Exception):
    """Base of all errors meant for the user.

    ``message`` says what happened and where; ``hint``, when there is one, says what to do next.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message


class SetupError(BranchpointError):
    """This computer lacks something: QEMU, a compiler, space, rights."""


class ComposeError(BranchpointError):
    """A compose file asks for something that cannot be done; it has the file and the line."""

    def __init__(self, message: str, file: Path, line: int | None = None, hint: str = "") -> None:
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{where}: {message}", hint)
        self.file = file
        self.line = line


class ImageError(BranchpointError):
    """A container image or the guest image cannot be read or built."""


class MachineError(BranchpointError):
    """The emulator died, refused a request or broke its protocol."""


class GuestEnded(MachineError):
    """The guest has ended the machine: switched it off, reset it, or suspended it."""


class RecordingError(BranchpointError):
    """A recording cannot be opened, read or written."""


class DivergenceError(RecordingError):
    """A replay differs from what it repeats: its events, its output or a state of the machine."""


class TimeError(BranchpointError):
    """An instant outside the recording, time running backwards, or a value that is not a time."""


class ContainerError(BranchpointError):
    """No such container, or it cannot do what was asked at that moment."""


class ProcessTimeout(BranchpointError):
    """A command did not finish within the virtual time it was given."""
