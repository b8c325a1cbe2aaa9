"""Views among other widgets in JupyterLab: side by side, with interact, and with callbacks that run
while a cell runs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from labpage import LabPage
from playwright.sync_api import Browser, expect

from conftest import Server

TESTS = Path(__file__).parents[1]
SETUP = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(TESTS / "fast")!r})
from IPython.display import display
import ipywidgets
from ipywidgets import HBox, VBox, interact
from likelihoods import exit_of, recording
from recordings import event
"""
MADE = """
lines = [event(n, f"line {{n}}") for n in range(20)]
run = recording(Path({name!r}), [*lines, exit_of(25)])
"""
KERNEL = {"kernelspec": {"name": "branchpoint", "display_name": "Branchpoint"}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder."""
    return tmp_path_factory.mktemp("widgets")


@pytest.fixture
def notebooks(chromium: Browser, lab: Server, folder: Path, tmp_path: Path) -> Iterator[Notebooks]:
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    page = LabPage(context.new_page(), lab.url, lab.token, tmp_path)
    yield Notebooks(page, folder)
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    assert page.problems == []
    context.close()


class Notebooks:
    """Notebooks that have made a recording of 30 seconds each, ``run``."""

    def __init__(self, page: LabPage, folder: Path) -> None:
        self.lab = page
        self.folder = folder

    def write(self, name: str, *cells: str) -> str:
        """A notebook with these cells below those that make the recording. Returns its path."""
        shutil.rmtree(self.folder / f"{name}.branchpoint", ignore_errors=True)
        codes = [SETUP + MADE.format(name=f"{name}.branchpoint"), *cells]
        made = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(code, id=f"cell-{n}") for n, code in enumerate(codes)],
            metadata=KERNEL,
        )
        nbformat.write(made, self.folder / f"{name}.ipynb")
        return f"{name}.ipynb"

    def run(self, path: str, *, wait: bool = True) -> None:
        """Show a notebook and run all of it."""
        self.lab.open_notebook(path)
        self.lab.page.wait_for_function(
            "path => { const panel = window.jupyterapp.shell.currentWidget;"
            " return panel?.context?.path === path"
            " && panel.sessionContext?.session?.kernel?.status === 'idle'; }",
            arg=path,
        )
        self.lab.start("notebook:run-all-cells")
        if wait:
            last = self.lab.cells.last.locator(".jp-InputPrompt")
            expect(last).not_to_have_text("[ ]:")
            self.lab.wait_idle()


def test_views_stand_side_by_side_and_go_with_interact(notebooks: Notebooks) -> None:
    path = notebooks.write(
        "beside",
        "log, line = run.events.explore(), run.timeline()\nHBox([line, log])",
        "def look(chosen, at):\n    print('chosen', chosen, 'at', at)\n"
        "interact(look, chosen=log, at=run.slider(step=1));",
    )
    notebooks.lab.goto()
    notebooks.run(path)
    page = notebooks.lab.page
    line, log = (page.locator(".widget-hbox .bpv").nth(n) for n in (0, 1))
    boxes = [view.bounding_box() for view in (line, log)]
    assert boxes[0] and boxes[1]
    text = log.locator(".bpv-line:visible .bpv-text").first.bounding_box()
    assert text and boxes[1] and text["width"] > 0.35 * boxes[1]["width"], "names give way"
    assert boxes[0]["y"] == boxes[1]["y"], "beside each other"
    assert min(box["width"] for box in boxes if box) > 300
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
    said = notebooks.lab.output("interact(look").locator(".jp-OutputArea-output").last
    expect(said).to_contain_text("chosen None at main@30.000")
    log.get_by_text("line 19", exact=True).click()
    expect(said).to_contain_text("chosen main@19.000 at main@30.000")
    page.get_by_role("slider").last.focus()
    page.keyboard.press("ArrowLeft")
    expect(said).to_contain_text("chosen main@19.000 at main@29.000")


WAITING = """
import asyncio, time
seen = []
log = run.events.explore(follow=True)
log.observe(lambda change: seen.append(change.new), "value")
display(log)
for _ in range(600):
    {rest}
    if seen:
        break
print("seen", *seen)
"""


@pytest.mark.long
@pytest.mark.parametrize("names", [["one"], ["one", "two"]], ids=["alone", "two notebooks"])
def test_a_callback_acts_while_an_async_cell_runs(notebooks: Notebooks, names: list[str]) -> None:
    """Two notebooks with the same cells on one server do not get each other's messages."""
    code = WAITING.format(rest="await asyncio.sleep(0.1)")
    notebooks.lab.goto()
    paths = [notebooks.write(name, code) for name in names]
    for path in paths:
        notebooks.run(path, wait=False)
        expect(notebooks.lab.output("import asyncio").get_by_text("line 19")).to_be_visible()
    for number, path in enumerate(paths):
        notebooks.lab.open_notebook(path)
        log = notebooks.lab.output("import asyncio")
        expect(log).not_to_contain_text("seen")
        log.get_by_text(f"line {19 - number}", exact=True).click()
        expect(log).to_contain_text(f"seen main@{19 - number}.000")


@pytest.mark.long
def test_a_choice_made_while_a_cell_blocks_is_met(notebooks: Notebooks, folder: Path) -> None:
    """At once or, if the kernel does not get the message before, as soon as the cell ends."""
    go = folder / "go"
    go.unlink(missing_ok=True)
    path = notebooks.write(
        "blocked",
        "seen = []\nlog = run.events.explore(follow=True)\n"
        "log.observe(lambda change: seen.append(change.new), 'value')\nlog",
        f"import time\nwhile not Path({str(go)!r}).exists():\n    time.sleep(0.1)\nprint('over')",
    )
    notebooks.lab.goto()
    notebooks.run(path, wait=False)
    log = notebooks.lab.output("seen = []")
    log.get_by_text("line 19", exact=True).click()
    moment = log.locator(".bpv-moment code")
    waits = log.get_by_text("the kernel is busy")
    expect(moment.or_(waits).first).to_be_visible()
    go.touch()
    expect(notebooks.lab.output("import time")).to_contain_text("over")
    expect(moment).to_have_text('run.at("main@19.000")')
    expect(waits).to_be_hidden()
    notebooks.lab.run("print('heard', *seen)")
    expect(notebooks.lab.cells.last).to_contain_text("heard main@19.000")
