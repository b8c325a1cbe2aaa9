"""A terminal in JupyterLab: typed in, resized, reloaded, saved, with the keyboard only."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from labpage import LabPage
from playwright.sync_api import Locator, expect

from branchpoint.views.view import LARGEST
from conftest import Server

OPEN = """
run = bp.open("aria.branchpoint")
branch = run.failure.rewind(seconds=1).branch()
branch.terminal("standby.replicator.1")
"""


@pytest.fixture
def path(page: LabPage, lab: Server, request: pytest.FixtureRequest) -> Path:
    """The current notebook has opened a terminal one second before the crash."""
    path = lab.folder / f"{request.node.name}.ipynb"
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(OPEN.strip())])
    made.metadata.kernelspec = {"name": "branchpoint", "display_name": "Branchpoint"}
    nbformat.write(made, path)
    show(page, path.name)
    page.start("notebook:run-all-cells")
    page.wait_idle()
    return path


@pytest.fixture
def terminal(page: LabPage, path: Path) -> Locator:
    terminal = page.page.get_by_role("region", name="Terminal in standby.replicator.1")
    expect(terminal.locator(".xterm-rows")).to_contain_text("root@standby-replicator-1:/#")
    expect(terminal.get_by_role("status")).to_contain_text("time is paused")
    return terminal


def show(page: LabPage, name: str) -> None:
    page.page.evaluate(
        "path => window.jupyterapp.commands.execute('docmanager:open', { path })", name
    )
    page.cells.first.wait_for()


def type(page: LabPage, terminal: Locator, keys: str) -> None:
    terminal.locator(".xterm").click()
    page.page.keyboard.type(keys, delay=30)


def test_a_session_fits_into_the_second_before_the_crash(page: LabPage, terminal: Locator) -> None:
    type(page, terminal, "ss -tan\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text(":7400")
    type(page, terminal, "ls -d /proc/1\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text("/proc/1root@standby-replicator-1:/#")
    expect(terminal.get_by_role("status")).to_contain_text("time is paused")
    terminal.get_by_role("button", name="Run").click()
    expect(terminal.get_by_role("status")).to_contain_text("ended with exit code 137")


@pytest.mark.long
def test_a_session_is_saved_as_text_and_goes_on_after_a_reload(
    page: LabPage, terminal: Locator, path: Path
) -> None:
    type(page, terminal, "echo $((6 * 7))")
    page.page.keyboard.press("Control+s")  # by habit; it must not stop the terminal
    page.page.keyboard.type("\n")
    kept = page.page.locator(".jp-OutputArea details pre", has_text="\n42\n")
    expect(kept).to_have_count(1)
    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    saved = nbformat.read(path, as_version=4).cells[0].outputs
    assert "\n42\n" in saved[-1].data["text/plain"] and "<script" not in str(saved)
    assert path.stat().st_size < LARGEST
    page.goto(f"lab/tree/{path.name}")
    expect(terminal.locator(".xterm-rows")).to_contain_text("42root@standby-replicator-1:/#")
    type(page, terminal, "echo $((7 * 7))\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text("49root@standby-replicator-1:/#")
    assert not page.problems


@pytest.mark.long
def test_a_terminal_whose_kernel_was_restarted_does_not_look_alive(
    page: LabPage, terminal: Locator
) -> None:
    type(page, terminal, "echo $((6 * 7))\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text("42root@standby-replicator-1:/#")
    page.evaluate(
        "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
        ".then(() => null)"
    )
    expect(terminal.get_by_role("alert")).to_contain_text("run the cell again")
    expect(terminal.get_by_role("status")).to_contain_text("no kernel")
    expect(terminal.get_by_role("button", name="Run")).to_have_count(0)
    expect(terminal.locator(".xterm-rows")).to_contain_text("42root@standby-replicator-1:/#")
    page.screenshot("terminal-lost")


@pytest.mark.long
def test_it_takes_the_size_of_the_page(page: LabPage, terminal: Locator) -> None:
    terminal.get_by_role("button", name="Fit").click()
    type(page, terminal, "stty size\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text(re.compile(r"24 (?!80)\d+root"))


@pytest.mark.long
def test_the_keyboard_alone_gets_in_and_out(page: LabPage, terminal: Locator) -> None:
    keyboard = page.page.keyboard
    terminal.get_by_role("button", name="Fit").focus()
    keyboard.press("Tab")
    keyboard.type("echo $((6 * 7))\n")
    expect(terminal.locator(".xterm-rows")).to_contain_text("42root@standby-replicator-1:/#")
    keyboard.press("Shift+Escape")
    expect(terminal.get_by_role("button", name="Run")).to_be_focused()
    keyboard.press("Enter")
    expect(terminal.get_by_role("status")).to_contain_text("ended with exit code 137")


@pytest.mark.long
def test_its_colours_are_the_page_s(page: LabPage, terminal: Locator) -> None:
    def colours() -> list[str]:
        found: list[str] = terminal.locator(".xterm-scrollable-element").evaluate(
            "el => [getComputedStyle(el).backgroundColor,"
            " getComputedStyle(el.closest('.bpv')).backgroundColor]"
        )
        return found

    page.theme("JupyterLab Dark")
    page.page.wait_for_function("document.querySelector('.bpv-dark .xterm')")
    dark = colours()
    assert dark[0] == dark[1]
    expect(page.page.locator("#jupyterlab-splash")).to_have_count(0)
    page.screenshot("terminal-dark")
    page.theme("JupyterLab Light")
    page.page.wait_for_function("!document.querySelector('.bpv-dark')")
    light = colours()
    assert light[0] == light[1] != dark[0]
