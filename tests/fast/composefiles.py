"""Compose files for tests, as systems."""

from __future__ import annotations

import textwrap
from pathlib import Path

from branchpoint.system.compose.reading import load
from branchpoint.system.model import Service, System


def read(folder: Path, text: str, **variables: str) -> System:
    """The system of a compose file; it sees these variables only."""
    (folder / "compose.yaml").write_text(textwrap.dedent(text))
    return load(folder, environ=variables)


def service(folder: Path, keys: str, **variables: str) -> Service:
    """A service with these keys."""
    body = textwrap.indent(textwrap.dedent(keys), "    ")
    found = read(folder, f"services:\n  a:\n    image: x\n{body}", **variables)
    return found.services["a"]
