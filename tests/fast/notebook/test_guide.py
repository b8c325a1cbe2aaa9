"""The notebooks of the guide that need no machine run from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from likelihoods import exit_of, recording
from nbclient import NotebookClient
from recordings import event
from talking import TIMEOUT, kernels

GUIDE = Path(__file__).parents[3] / "notebooks" / "guide"


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    path = tmp_path / "run.branchpoint"
    lines = [event(n / 4, f"line {n}") for n in range(120)]
    recording(path, [*lines, exit_of(29.9)]).close()
    monkeypatch.setenv("BRANCHPOINT_RECORDING", str(path))
    with kernels(tmp_path):
        yield


def test_the_guide_to_widgets_runs() -> None:
    notebook = nbformat.read(GUIDE / "widgets.ipynb", 4)
    NotebookClient(notebook, kernel_name="branchpoint", timeout=TIMEOUT).execute()
    cells = {cell.id: cell for cell in notebook.cells}
    (told,) = cells["widgets-observe"].outputs
    assert told.text == "main@30.000 5 events in the second before\n"
    (box,) = cells["widgets-box"].outputs
    assert "application/vnd.jupyter.widget-view+json" in box.data
    assert cells["widgets-interact"].outputs[0].data["text/plain"].startswith("interactive(")


def test_the_guide_is_kept_without_outputs() -> None:
    """Widgets are saved with different names each time."""
    for path in GUIDE.glob("*.ipynb"):
        assert all(not cell.get("outputs") for cell in nbformat.read(path, 4).cells), path
