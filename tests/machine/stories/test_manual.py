"""The guide's notebooks run in their order, in an empty folder; outputs agree with their text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from talking import kernels

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
GUIDE = sorted(
    (path for path in (NOTEBOOKS / "guide").glob("*.ipynb") if path.stem != "widgets"),
    key=lambda path: path.stem != "first-hour",
)
LONG = ("curves", "sharing", "your-system")
PATIENCE = 1200  # wall seconds for one cell, on a busy computer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the guide and of the system it uses; the kernelspec is found."""
    place = tmp_path_factory.mktemp("notebooks")
    for name in ("guide", "systems/ledger"):
        shutil.copytree(NOTEBOOKS / name, place / name)
    with kernels(place):
        yield place / "guide"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem in LONG else ())
        for path in GUIDE
    ],
)
def test_a_notebook_of_the_guide_runs(path: Path, folder: Path) -> None:
    notebook = nbformat.read(folder / path.name, as_version=4)
    NotebookClient(
        notebook,
        kernel_name="branchpoint",
        timeout=PATIENCE,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    nbformat.write(notebook, folder / path.name)
    for cell in notebook.cells:
        streams = {output.name for output in cell.get("outputs", []) if "name" in output}
        assert "stderr" not in streams, cell.source
    said = {cell.id: words(cell) for cell in notebook.cells if cell.cell_type == "code"}
    for cell, expected in SAID.get(path.stem, {}).items():
        assert expected in said[cell], f"{cell}: {said[cell]}"


SAID = {
    "first-hour": {
        "first-3": "has no credit",
        "first-4": "fault.start",
        "first-8": "debit",
        "first-10": "/usr/local/bin/ledger",
        "first-12": "container.exit",
        "first-14": "(True,",
        "first-15": "exit",
        "first-17": "did not happen",
    },
    "your-system": {"your-3": "mac_adress", "your-5": "client.1", "your-6": "hello"},
    "faults": {"faults-2": "freeze", "faults-4": "partition", "faults-7": "kill"},
    "curves": {"curves-2": "P(exit of auditor)", "curves-8": "kill of ledger.1"},
    "sharing": {
        "sharing-3": "ledger.bpz",
        "sharing-5": "it replays as recorded",
        "sharing-7": "report.html",
    },
    "headless": {"headless-3": "container.exit", "headless-4": "debit"},
    "troubleshooting": {"troubleshooting-1": "qemu", "troubleshooting-4": "same"},
}
"""For a notebook and a cell: parts of the output that the text around it promises."""


def words(cell: nbformat.NotebookNode) -> str:
    """The outputs of a cell as plain text."""
    return "\n".join(
        output.text if output.output_type == "stream" else output.data.get("text/plain", "")
        for output in cell.outputs
    )
