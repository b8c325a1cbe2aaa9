"""One notebook in each front end: Notebook 7, nbconvert, papermill, and two kernels below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ipykernel
import nbformat
import notebook
import papermill
import pytest
from labpage import LabPage
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, expect

from branchpoint.notebook.triage import triage
from conftest import ROOT, SCREENS, Server, serving

SMALL = 300_000  # most bytes of an executed notebook
BESIDE = ROOT / "tests" / "fast" / "notebook" / "test_notebook_requests.py"


@pytest.fixture
def made(folder: Path) -> Path:
    """A triage notebook on the demo recording, not executed."""
    return triage(folder / "aria.branchpoint")


def text_of(path: Path) -> str:
    """All plain text of a notebook's outputs; none of them may be an error."""
    found = []
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", output
            found.append(output.get("text") or output.data.get("text/plain", ""))
    return "\n".join(found)


def test_a_second_triage_overwrites_nothing(made: Path) -> None:
    before = made.read_bytes()
    again = triage(made.parent / "aria.branchpoint")
    assert again != made and re.fullmatch(r"aria-triage-\d+\.ipynb", again.name)
    assert made.read_bytes() == before


def test_papermill_executes_it(
    made: Path, jupyter: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", jupyter)
    done = made.with_name("papermill.ipynb")
    papermill.execute_notebook(made, done, cwd=made.parent, progress_bar=False)
    assert "container.exit" in text_of(done)


def test_nbconvert_executes_it_and_its_page_is_small_and_without_our_scripts(
    made: Path, jupyter: dict[str, str]
) -> None:
    command = [
        sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute",
        "--ExecutePreprocessor.store_widget_state=False", "--output", "executed.ipynb", made,
    ]  # fmt: skip
    subprocess.run(command, env=jupyter, cwd=made.parent, check=True, capture_output=True)
    done = made.with_name("executed.ipynb")
    assert done.stat().st_size < SMALL
    assert "container.exit" in text_of(done)
    page, _ = HTMLExporter(embed_images=True).from_filename(str(done))
    assert "Static view; run the cell to interact." in page
    body = page[page.index("<body") :]
    assert 'data-mime-type="application/vnd.jupyter.widget-view+json"' not in body


@pytest.fixture
def notebook7(folder: Path, jupyter: dict[str, str]) -> Iterator[Server]:
    with serving(notebook.__name__, folder, jupyter) as server:
        yield server


@pytest.mark.long
def test_notebook_7_shows_it(chromium: Browser, notebook7: Server, made: Path) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    page = LabPage(context.new_page(), notebook7.url, notebook7.token, SCREENS)
    page.goto(f"notebooks/{made.name}", reset=False)
    page.cells.first.wait_for()
    page.wait_idle()
    page.start("notebook:run-all-cells")
    page.wait_idle()
    expect(page.output("run.timeline()").locator(".bpv")).to_be_visible()
    expect(page.panel).to_contain_text("failure at")
    page.screenshot("notebook7")
    context.close()


# Set-up puts the other versions into .venv/beside; tests/fast uses the installed one.
OTHERS = [v for v in ("7.2", "7.3", "7.4") if not ipykernel.__version__.startswith(f"{v}.")]


@pytest.mark.long
@pytest.mark.parametrize("version", OTHERS)
def test_the_kernel_answers_while_it_is_busy_with_ipykernel(version: str) -> None:
    place = ROOT / ".venv" / "beside" / version
    assert place.is_dir(), "it is put there by: make test-all"
    path = os.pathsep.join([str(place), str(ROOT / "kernel")])
    asked = [sys.executable, "-c", "import ipykernel; print(ipykernel.__version__)"]
    environment = {**os.environ, "PYTHONPATH": path}
    told = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.startswith(version)
    tests = [sys.executable, "-m", "pytest", "-q", "-k", "answers or idle or cancelled", BESIDE]
    done = subprocess.run(tests, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
