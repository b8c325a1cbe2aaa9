"""Prepares the systems of this folder for recording."""

from __future__ import annotations

import shutil
from pathlib import Path

from branchpoint.guest.compiler import static_program

_HERE = Path(__file__).parent
PROBES = "probes.yaml"
"""Small programs, most of them our own; each shows one kind of processor state."""
FOREIGN = "foreign.yaml"
"""Programs that others wrote."""
RUNTIMES = "runtimes.yaml"
"""A JVM and Node."""


def project(folder: Path, name: str) -> Path:
    """The compose file of a system, copied to ``folder`` with all files that it names.

    :raises ImageError: when the probes do not compile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for file in _HERE.iterdir():
        if file.is_file() and file.suffix in (".yaml", ".py", ".sh", ".lua", ".js"):
            shutil.copy(file, folder)
    if name == PROBES:
        program = static_program(sorted((_HERE / "probes").glob("*.c")))
        (folder / "probe").write_bytes(program)
    return folder / name
