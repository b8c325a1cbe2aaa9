"""The other parts of the extension: empty states, errors, menus, launcher, contrast."""

from __future__ import annotations

import re

import nbformat
import pytest
from labpage import LabPage
from playwright.sync_api import expect

from conftest import Server

SESSION = "window.jupyterapp.shell.currentWidget.sessionContext"
LEAST = 4.5  # least contrast of a text and its background (WCAG 2.2, AA)

# The contrast of each text in the panel, and the text.
CONTRASTS = """() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = colour => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const over = (front, back) => {
    const alpha = front[3] ?? 1;
    return [0, 1, 2].map(i => front[i] * alpha + back[i] * (1 - alpha));
  };
  const light = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const behind = el => {
    const layers = [];
    for (let at = el; at; at = at.parentElement) {
      layers.push(parse(getComputedStyle(at).backgroundColor));
    }
    return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.getElementById('branchpoint-panel'), 4);
  while (walker.nextNode()) {
    const el = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !el.checkVisibility()) continue;
    const back = behind(el);
    const [a, b] = [light(over(parse(getComputedStyle(el).color), back)), light(back)];
    found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), walker.currentNode.data]);
  }
  return found;
}"""


def write(server: Server, name: str, kernel: str, *cells: str) -> None:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    made.metadata.kernelspec = {"name": kernel, "display_name": kernel}
    nbformat.write(made, server.folder / name)


def test_without_anything_the_panel_says_what_to_do(page: LabPage, lab: Server) -> None:
    (lab.folder / "empty").mkdir(exist_ok=True)
    page.goto("lab/tree/empty")
    page.show_panel()
    expect(page.panel).to_contain_text("No recording in empty")
    expect(page.panel).to_contain_text("branchpoint record compose.yaml")
    expect(page.panel).to_contain_text("No notebook is open")
    page.palette("Open Recording…")
    expect(page.page.locator(".Toastify__toast")).to_contain_text("There is no recording in empty")


@pytest.mark.long
def test_with_another_kernel_the_panel_says_which_to_choose(page: LabPage, lab: Server) -> None:
    write(lab, "other.ipynb", "python3", "1")
    page.goto("lab/tree/other.ipynb")
    page.show_panel()
    expect(page.panel).to_contain_text("The kernel of this notebook is Python 3")
    expect(page.panel).to_contain_text("Change Kernel…")


@pytest.mark.long
def test_a_dead_kernel_is_reported_with_the_way_out(page: LabPage, lab: Server) -> None:
    write(lab, "dies.ipynb", "branchpoint", "import os; os._exit(1)")
    page.goto("lab/tree/dies.ipynb")
    page.show_panel()
    expect(page.panel).to_contain_text("No recording is open in this notebook")
    page.evaluate(f"void {SESSION}.shutdown()")
    expect(page.panel).to_contain_text("Kernel menu")


@pytest.mark.long
def test_a_restarted_kernel_is_followed_again(page: LabPage, lab: Server) -> None:
    write(lab, "again.ipynb", "branchpoint", 'run = bp.open("aria.branchpoint")')
    page.goto("lab/tree/again.ipynb")
    page.show_panel()
    page.wait_idle()
    page.start("notebook:run-all-cells")
    expect(page.panel).to_contain_text("failure at")
    page.evaluate(
        "void window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
    )
    expect(page.panel).to_contain_text("No recording is open in this notebook")
    page.wait_idle()  # what is run before the kernel is back is lost
    page.start("notebook:run-all-cells")
    expect(page.panel).to_contain_text("failure at")


@pytest.fixture
def opened(page: LabPage, lab: Server) -> LabPage:
    write(
        lab,
        "opened.ipynb",
        "branchpoint",
        'run = bp.open("aria.branchpoint")\nrun.events.explore(container="*.replicator.1")',
    )
    page.goto("lab/tree/opened.ipynb")
    page.cells.first.wait_for()
    page.wait_idle()
    page.start("notebook:run-all-cells")
    page.show_panel()
    expect(page.panel).to_contain_text("failure at")
    return page


@pytest.mark.long
def test_a_line_of_the_log_gives_its_moment_by_the_context_menu(opened: LabPage) -> None:
    row = opened.page.locator("[data-vtime][data-container='standby.replicator.1']").nth(1)
    vtime = row.get_attribute("data-vtime")
    assert vtime is not None
    row.click(button="right")
    opened.page.get_by_text("Rewind to This Line").click()
    opened.wait_idle()
    expect(opened.output("moment = run.at(")).to_contain_text(f"main@{vtime.rstrip('0')}")


@pytest.mark.long
def test_a_row_chosen_in_a_view_is_where_commands_work(opened: LabPage) -> None:
    opened.page.locator("[data-vtime][data-container='standby.replicator.1']").nth(1).click()
    expect(opened.panel).to_contain_text("chosen:")
    opened.page.keyboard.press("Alt+Shift+B")  # also with the focus in the view
    opened.wait_idle()
    expect(opened.output("branch = run.at(")).to_contain_text("Branch(from")
    expect(opened.panel).not_to_contain_text("chosen:")


def test_rewind_here_asks_for_an_instant_and_terminal_offers_what_failed(opened: LabPage) -> None:
    rewind = opened.panel.get_by_role("button", name="Rewind here")
    opened.run("moment = run.failure")
    expect(rewind).to_be_disabled()
    expect(rewind).to_have_attribute("title", re.compile("moment is there already. Choose another"))
    opened.panel.locator(".bpl-mark").nth(1).click()
    rewind.click()
    opened.wait_idle()
    expect(opened.output("moment = run.at(")).to_contain_text("main@")
    expect(rewind).to_be_disabled()
    opened.panel.get_by_role("button", name="Terminal…").click()
    dialog = opened.page.locator(".jp-Dialog")
    expect(dialog.locator("select")).to_have_value("standby.replicator.1")
    dialog.get_by_role("button", name="Cancel").click()


@pytest.mark.long
def test_pictures_are_dark_where_the_page_is(opened: LabPage) -> None:
    opened.theme("JupyterLab Light")
    opened.run(
        "from branchpoint.futures.curve import Curve\n"
        "from branchpoint.futures.likelihood import ask\n"
        "question, _ = ask(run, failure('exit:*'))\n"
        "Curve(run, question, (run.origin, run.end.at), [])"
    )
    curve = opened.page.locator(".jp-RenderedImage img").last
    expect(curve).to_have_css("filter", "none")
    opened.theme("JupyterLab Dark")
    expect(curve).to_have_css("filter", re.compile("invert"))
    opened.screenshot("curve-dark")


@pytest.mark.long
def test_a_cell_can_be_inserted_without_being_run(opened: LabPage) -> None:
    opened.panel.get_by_role("button", name="Timeline").focus()
    opened.page.keyboard.press("Alt+Shift+I")
    expect(opened.cells.last).to_contain_text("run.timeline()")
    assert opened.cells.last.locator(".jp-InputPrompt").first.inner_text() == "[ ]:"


@pytest.mark.long
def test_what_a_recording_says_is_shown_and_never_becomes_markup(opened: LabPage) -> None:
    opened.run('run.manifest.containers  # <b id="bad">')
    opened.wait_idle()
    assert opened.page.locator("#branchpoint-panel #bad").count() == 0


@pytest.mark.long
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_text_of_the_panel_can_be_read(opened: LabPage, theme: str) -> None:
    opened.theme(theme)
    opened.panel.locator(".bpl-mark").nth(1).click()
    expect(opened.panel).to_contain_text("chosen:")
    opened.page.locator("[data-vtime]").nth(3).wait_for()
    opened.screenshot(f"panel-{theme.split()[-1].lower()}")
    found = opened.evaluate(CONTRASTS)
    assert len(found) > 10
    assert [(ratio, text) for ratio, text in found if ratio < LEAST] == []


def test_launcher_and_file_browser_know_recordings(page: LabPage) -> None:
    card = page.page.locator(".jp-LauncherCard", has_text="Open Recording")
    expect(card).to_be_visible()
    item = page.browser_item("aria.branchpoint")
    expect(item.locator("[data-icon='branchpoint:recording']")).to_be_visible()
    item.click(button="right")
    expect(page.page.get_by_role("menuitem", name="Open Recording")).to_be_visible()
    page.page.keyboard.press("Escape")
    card.click()
    expect(page.cells.first).to_contain_text("Triage of aria.branchpoint")
