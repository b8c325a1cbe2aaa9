"""Long jobs survive a closed tab and a reloaded page, and the user can attach to them again."""

from __future__ import annotations

import nbformat
import pytest
from labpage import LabPage
from playwright.sync_api import expect

from conftest import Server

SLOW = """
import pathlib, time
from branchpoint import progress
go = pathlib.Path("go")
go.unlink(missing_ok=True)
def work():
    print("begun")
    with progress.task("counting", 2000, "things") as task:
        for i in range(2000):
            task.update(i)
            time.sleep(0.05)
            if go.exists():
                break
    return "the result"
"""


@pytest.fixture
def notebook(page: LabPage, lab: Server, request: pytest.FixtureRequest) -> str:
    """A notebook with a slow function, open and active."""
    name = f"{request.node.name}.ipynb"
    cells = [nbformat.v4.new_code_cell(SLOW.strip()), nbformat.v4.new_code_cell("value = work()")]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata.kernelspec = {"name": "branchpoint", "display_name": "Branchpoint"}
    nbformat.write(made, lab.folder / name)
    page.open_notebook(name)
    page.wait_idle()  # otherwise Lab would ask which kernel to start
    page.start("notebook:run-all-cells")
    page.show_panel()
    return name


def test_a_running_cell_is_found_again_after_its_tab_was_closed(
    page: LabPage, lab: Server, notebook: str
) -> None:
    expect(page.panel).to_contain_text("counting")
    page.close_notebook()
    expect(page.panel).to_contain_text("No notebook is open")
    page.open_notebook(notebook)
    expect(page.panel.get_by_role("progressbar")).to_be_visible()
    expect(page.panel).to_contain_text("counting")
    page.panel.get_by_role("button", name="Attach").click()
    (lab.folder / "go").touch()
    expect(page.output("jobs.attach(1)")).to_contain_text("begun")
    page.wait_idle()
    expect(page.panel).to_contain_text("done")


@pytest.mark.long
def test_a_running_cell_is_found_again_after_the_page_was_reloaded(
    page: LabPage, lab: Server, notebook: str
) -> None:
    expect(page.panel).to_contain_text("counting")
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    page.goto(f"lab/tree/{notebook}")
    page.show_panel()
    expect(page.panel).to_contain_text("counting")
    cell = page.cell("value = work()")
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[*]:")
    expect(cell.locator(".jp-OutputArea progress")).to_be_visible()
    bar = page.page.locator("#jp-main-statusbar")
    expect(bar).to_contain_text("Branchpoint | Busy")
    page.run("jobs.attach(1)")
    expect(page.output("jobs.attach(1)").locator("progress")).to_be_visible()
    page.screenshot("resumed")
    page.panel.get_by_role("button", name="Cancel").click()
    expect(page.panel).to_contain_text("stopped")
    expect(cell.locator(".jp-OutputArea")).to_contain_text("KeyboardInterrupt")
    expect(cell.locator(".jp-OutputArea progress")).to_have_count(0)
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[2]:")
    expect(bar).to_contain_text("Branchpoint | Idle")
    (lab.folder / "go").touch()
    cell.locator(".jp-InputPrompt").click()
    page.page.keyboard.press("Control+Enter")
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[4]:")
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(page.panel).to_contain_text("No jobs.")
    expect(cell.locator(".jp-InputPrompt")).to_have_text("[4]:")  # nothing follows it any more
    assert not page.problems


@pytest.mark.long
def test_a_job_in_the_background_is_attached_to_while_it_runs(
    page: LabPage, lab: Server, notebook: str
) -> None:
    (lab.folder / "go").touch()
    page.wait_idle()
    (lab.folder / "go").unlink()
    page.run("jobs.start(work, 'in the back')")
    expect(page.panel).to_contain_text("in the back")
    page.panel.get_by_role("button", name="Attach").first.click()
    attached = page.output("jobs.attach(")
    expect(attached.locator("progress")).to_be_visible()
    (lab.folder / "go").touch()
    expect(attached).to_contain_text("the result")
    expect(attached.locator("progress")).to_have_count(0)
