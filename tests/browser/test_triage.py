"""The story in JupyterLab, with the mouse: from a recording in the file browser to its cause."""

from __future__ import annotations

import re

import pytest
from labpage import LabPage
from playwright.sync_api import expect

import branchpoint as bp
from conftest import Server


def test_a_recording_is_triaged_from_the_file_browser(page: LabPage) -> None:
    page.browser_item("aria.branchpoint").dblclick()
    page.cells.first.wait_for()
    page.wait_idle()
    expect(page.output("prepare_multiverse_debugging")).to_contain_text("container.exit")
    assert "aria-triage.ipynb" in page.evaluate("window.jupyterapp.shell.currentWidget.title.label")

    expect(page.output("last.events.tail(12)")).to_contain_text("exited with 1, on its own")

    page.show_panel()
    expect(page.panel).to_contain_text("failure at")
    timeline = page.output("run.timeline()").locator(".bpv")
    expect(timeline).to_be_visible()
    timeline.get_by_role("button", name=re.compile("Previous|‹")).click()  # the last: the failure
    expect(page.panel.locator(".bpl-failed")).to_have_attribute("aria-pressed", "true")
    page.cell("run.timeline()").evaluate("cell => cell.scrollIntoView({ block: 'start' })")
    page.screenshot("timeline")
    page.palette("Rewind by 1 s")
    page.wait_idle()
    expect(page.output(".rewind(seconds=1)")).to_contain_text("main@")
    expect(page.status).to_contain_text("aria · moment")

    page.palette("Terminal Here…")
    dialog = page.page.locator(".jp-Dialog")
    dialog.locator("select").select_option("standby.replicator.1")
    dialog.get_by_role("button", name="Open").click()
    terminal = page.output("branch.terminal(").locator(".xterm")
    expect(terminal.locator("textarea")).to_be_focused()
    page.page.keyboard.type("ss -tn\n")
    expect(terminal).to_contain_text("Peer Address:Port")
    stands = page.page.get_by_text("time is paused")
    at = float(stands.inner_text().split()[0])
    expect(page.status).to_contain_text(f"branch {at:.3f} s · paused")
    expect(page.panel.locator(".bpl-branch").first).to_contain_text("terminal; type 'ss -tn⏎'")
    page.screenshot("terminal")

    page.panel.get_by_role("button", name="Likelihood").click(modifiers=["Shift"])
    expect(page.cell("run.likelihood(")).to_contain_text(
        'crash = failure(exit="standby.replicator.1")'
    )
    page.run('crash = failure(exit="standby.replicator.1")')
    page.run("curve = run.likelihood(crash, start=moment.rewind(5), points=3, precision=0.3)")
    expect(page.panel.get_by_role("progressbar")).to_be_visible()
    notebook = page.close_notebook()
    expect(page.panel).to_contain_text("No notebook is open")
    page.open_notebook(notebook)
    page.panel.get_by_role("button", name="Attach").first.click()
    page.wait_idle()
    attached = page.output("jobs.attach(").locator("img")
    expect(attached).to_be_visible()
    attached.scroll_into_view_if_needed()
    page.screenshot("attached")
    page.theme("JupyterLab Dark")
    page.screenshot("attached-dark")


@pytest.mark.long
def test_a_second_opening_shows_the_same_notebook_and_offers_another(
    page: LabPage, lab: Server
) -> None:
    def opened() -> str:
        page.browser_item("again.branchpoint").dblclick()
        page.cells.first.wait_for()
        title: str = page.evaluate("window.jupyterapp.shell.currentWidget.title.label")
        return title

    (lab.folder / "again.branchpoint").symlink_to("aria.branchpoint")
    page.goto()
    # A server that cannot say whether there is a notebook: none is written.
    page.page.route(
        "**/api/contents/again-triage.ipynb*",
        lambda route: (
            route.fulfill(status=503) if route.request.method == "GET" else route.continue_()
        ),
    )
    page.browser_item("again.branchpoint").dblclick()
    expect(page.page.locator(".Toastify__toast")).to_contain_text("cannot be opened")
    assert not (lab.folder / "again-triage.ipynb").exists()
    page.page.unroute("**/api/contents/again-triage.ipynb*")
    page.goto()
    assert opened() == "again-triage.ipynb"
    page.wait_idle()
    first = page.output("prepare_multiverse_debugging")
    expect(first).to_contain_text("container.exit")
    asked = page.page.locator(".Toastify__toast")
    assert opened() == "again-triage.ipynb", "its kernel runs: nothing to ask"
    assert asked.count() == 0
    page.close_notebook()
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.goto()
    assert opened() == "again-triage.ipynb"
    expect(asked).to_contain_text("again-triage.ipynb was made when this recording was opened")
    page.screenshot("opened-again")
    asked.get_by_role("button", name="Run all cells").click()
    expect(page.cell("prepare_multiverse").locator(".jp-InputPrompt").first).to_have_text("[1]:")
    expect(first).to_contain_text("container.exit")
    page.evaluate("window.jupyterapp.serviceManager.sessions.shutdownAll()")
    page.close_notebook()
    opened()
    asked.last.get_by_role("button", name="New notebook").click()
    title = "window.jupyterapp.shell.currentWidget.title.label"
    page.page.wait_for_function(f"{title} === 'again-triage-2.ipynb'")
    page.wait_idle()
    expect(first).to_contain_text("container.exit")
    assert not page.problems


@pytest.fixture(params=["double-click", "enter"])
def shared(lab: Server, request: pytest.FixtureRequest) -> str:
    """The name of a folder that only has the recording, as a bundle: ``aria.bpz``."""
    name = str(request.param)
    (lab.folder / name).mkdir()
    with bp.open(lab.folder / "aria.branchpoint") as run:
        bp.share(run, lab.folder / name / "aria.bpz")
    return name


@pytest.mark.long
def test_a_shared_recording_is_opened_from_the_file_browser(
    page: LabPage, lab: Server, shared: str
) -> None:
    page.goto(f"lab/tree/{shared}")
    item = page.browser_item("aria.bpz")
    expect(item.locator("[data-icon='branchpoint:recording']")).to_be_visible()
    if shared == "enter":
        item.click()
        page.page.keyboard.press("Enter")
    else:
        item.dblclick()
    page.cells.first.wait_for()
    page.wait_idle()
    expect(page.cells.first).to_contain_text("Triage of aria.bpz")
    expect(page.output("prepare_multiverse_debugging")).to_contain_text("container.exit")
    expect(page.output("run.timeline()").locator(".bpv")).to_be_visible()
    page.show_panel()
    expect(page.panel).to_contain_text("aria.branchpoint ·")
    page.palette("Rewind by 1 s")
    page.wait_idle()
    expect(page.output(".rewind(seconds=1)")).to_contain_text("main@")
    page.screenshot(f"shared-{shared}")
    assert sorted(path.name for path in (lab.folder / shared).iterdir() if path.name[0] != ".") == [
        "aria-triage.ipynb", "aria.bpz", "aria.branchpoint"
    ]  # fmt: skip
    assert not page.problems
