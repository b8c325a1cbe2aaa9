"""The outputs that a notebook is shipped with."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from branchpoint.sharing.proof import hygiene
from branchpoint.sharing.proof.rerun import circumstances, compare


def check_shipped_outputs(shipped: Path, executed: nbformat.NotebookNode, recording: Path) -> None:
    """They came again to the byte; skips the test where machine, system or libraries are others."""
    notebook, here = hygiene.read(shipped), circumstances(recording)
    made_with = notebook["metadata"]["branchpoint"]
    if made_with != here:
        pytest.skip(f"the outputs of {shipped.name} were made with {made_with}; here is {here}")
    again = hygiene.parse(nbformat.writes(executed).encode(), "the executed one")
    assert list(compare(notebook, again)) == []
