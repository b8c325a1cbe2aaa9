"""Notes about a compose file: what it asks for that has no effect in the machine."""

from __future__ import annotations

from branchpoint import showing
from branchpoint.system.model import System


def say(system: System) -> None:
    """Say the notes of a system, each with its file and line."""
    for note in system.notes:
        file, line = system.place(note.line)
        showing.say(f"note: {file}:{line}: {note.text}", always=True)
