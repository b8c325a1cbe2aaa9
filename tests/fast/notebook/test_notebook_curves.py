"""Curves in a running kernel: one picture per cell, in its final state, the same every time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[3]
KERNELSPEC = ROOT / "kernel" / "kernelspec"
PAGE = ROOT / ".ci" / "page.html.j2"

SETUP = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from coinfutures import SYSTEMS
from likelihoods import END, Drawer, exit_of, recording
from recordings import ORIGIN
from branchpoint.futures.allocation import Settings
from branchpoint.futures.likelihood import ask, collect
from branchpoint.timeline.failures import failure

class Slow(Drawer):
    "Futures that take so long that the curve is shown before it is complete."
    def run(self, jobs):
        for number, draw in enumerate(super().run(jobs)):
            if number == 40:
                time.sleep({pause})
            yield draw

run = recording(Path({folder!r}) / "run.branchpoint", [exit_of(29.5)])
question, _ = ask(run, failure("exit:db.1"))

def likelihood(seed, pool=Slow):
    wanted = Settings(ORIGIN, END, seed=seed)
    return collect(run, question, wanted, pool and pool(SYSTEMS[0]).open)

def in_the_back():
    from branchpoint import progress
    with progress.task("drawing", 1, "curves"):
        return likelihood(3)
"""
CELLS = [
    "curve = likelihood(1)",
    "likelihood(2)",
    "curve",
    "print('stored'); likelihood(1, None)",
    "curve.plot()",
    "curve.turning_point",
    "job = jobs.start(in_the_back)",
    "job.wait(60)  # so that no later cell draws it",
    "other = jobs.attach()\nother",
    "other",
]


@pytest.mark.long
def test_a_curve_is_one_picture_in_its_final_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "branchpoint").symlink_to(KERNELSPEC)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    texts = []
    for name, pause in (("slow", 1.5), ("quick", 0)):
        (tmp_path / name).mkdir()
        tests = str(Path(__file__).parents[1])
        texts += [SETUP.format(tests=tests, folder=str(tmp_path / name), pause=pause), *CELLS]
    cells = [nbformat.v4.new_code_cell(text) for text in texts]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = NotebookClient(notebook, kernel_name="branchpoint", timeout=120)
    pictures = 0
    process = client.process_message

    def counted(message: Any, cell: Any, index: int) -> Any:
        nonlocal pictures
        kind = message["msg_type"] == "update_display_data"
        pictures += kind and "image/png" in message["content"]["data"]
        return process(message, cell, index)

    client.process_message = counted  # type: ignore[method-assign]
    client.execute()
    assert pictures >= 2, "redrawn in its place"
    outputs = [cell["outputs"] for cell in notebook.cells[1 : len(CELLS) + 1]]
    kinds = [[output["output_type"] for output in cell] for cell in outputs]
    shown, result = ["display_data"], ["execute_result"]
    assert kinds[:6] == [shown, shown, shown, ["stream", *shown], result, result]
    assert kinds[-2:] == [shown, shown], "attached to it is one picture, too"
    assert outputs[-2][0]["data"] == outputs[-1][0]["data"]
    drawn = outputs[0][0]["data"]
    assert "P(failure) 0." in drawn["text/plain"]
    assert "unfinished" not in drawn["text/plain"]
    assert outputs[2][0]["data"] == outputs[3][1]["data"] == drawn
    assert outputs[1][0]["data"] != drawn
    assert "image/png" in outputs[4][0]["data"]
    assert all(len(json.dumps(cell)) < 60_000 for cell in outputs)
    again = [cell["outputs"] for cell in notebook.cells[len(CELLS) + 2 :]]
    assert [[o.get("data") for o in cell] for cell in again] == [
        [o.get("data") for o in cell] for cell in outputs
    ]
    for template in ({"template_name": "classic"}, {"template_file": str(PAGE)}):
        page, _ = HTMLExporter(**template).from_notebook_node(notebook)
        words = re.findall(r'<img[^>]* alt="(Curve of P\(exit of db.1\) from [^"]*)"', page)
        assert len(words) == page.count("<img") == 14, "who does not see a picture is told"
