"""The museum of bugs: each notebook finds its failure, and what mends it holds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from talking import kernels
from test_manual import PATIENCE, words

BUGS = Path(__file__).parents[3] / "notebooks" / "bugs"

USUAL = 24
"""Futures of a question. Fewer than readers see: enough to meet each failure, with any guest, and
not to take all day."""
FUTURES = {
    "etcd-10811": 14,
    "gunicorn-3394": 10,
    "moby-47583": 8,
    "node-20256": 14,
    "postgres-146": 6,
    "redis-3306": 8,
}
"""The same where failures are so frequent that still fewer are enough."""
MENDED = 8
"""The same where it is mended: with any number of them none may fail."""

EXAMPLE = "kombu-337"
"""The one that is run each time; the others are long."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.long]


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.stem, marks=pytest.mark.long if path.stem != EXAMPLE else ())
        for path in sorted(BUGS.glob("*.ipynb"))
    ],
)
def test_a_bug_is_found_and_mended(path: Path, tmp_path: Path) -> None:
    place = tmp_path / "bugs"
    shutil.copytree(BUGS, place, ignore=shutil.ignore_patterns("*.branchpoint"))
    notebook = nbformat.read(place / path.name, as_version=4)
    futures = FUTURES.get(path.stem, USUAL)
    for cell in notebook.cells:
        some = MENDED if cell.id.endswith("-mended") else futures
        cell.source = re.sub(r"\bask\((\w+), \d+\)", rf"ask(\1, {some})", cell.source)
    with kernels(tmp_path):
        NotebookClient(
            notebook,
            kernel_name="branchpoint",
            timeout=PATIENCE,
            record_timing=False,
            resources={"metadata": {"path": str(place)}},
        ).execute()
    nbformat.write(notebook, place / path.name)
    said = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            streams = {output.name for output in cell.outputs if "name" in output}
            assert "stderr" not in streams, cell.source
            said[cell.id] = words(cell)
    found, mended = (
        next(text for name, text in said.items() if name.endswith(end))
        for end in ("-found", "-mended")
    )
    assert re.search(r"; [1-9]\d* of \d+ futures failed", found), found
    assert re.search(r"; 0 of \d+ futures failed", mended), mended
