"""The same story without a mouse."""

from __future__ import annotations

import pytest
from labpage import LabPage
from playwright.sync_api import expect

pytestmark = pytest.mark.long

CURVE = """\
crash = failure(exit="standby.replicator.1")
run.likelihood(crash, start=moment.rewind(5), points=3, precision=0.3)"""


def press(page: LabPage, *keys: str) -> None:
    for key in keys:
        page.page.keyboard.press(key)


def tab_to(page: LabPage, selector: str, most: int = 60) -> None:
    """Press Tab until the focus is on such an element."""
    for _ in range(most):
        if page.evaluate(f"document.activeElement?.matches({selector!r}) ?? false"):
            return
        press(page, "Tab")
    raise AssertionError(f"Tab never comes to {selector}")


def test_a_recording_is_triaged_with_the_keyboard_alone(page: LabPage) -> None:
    page.browser_item("aria.branchpoint").wait_for()
    tab_to(page, ".jp-DirListing-itemText")
    press(page, "Enter")
    page.cells.first.wait_for()
    page.wait_idle()

    tab_to(page, ".bpv-canvas")
    press(page, "p")  # the previous event: the failure
    press(page, "Alt+Shift+P")
    failure = page.panel.locator(".bpl-failed")
    expect(failure).to_have_attribute("aria-pressed", "true")
    page.screenshot("keyboard-timeline")
    press(page, "Alt+Shift+R")
    page.wait_idle()
    expect(page.output(".rewind(seconds=1)")).to_contain_text("main@")

    press(page, "Alt+Shift+B")
    page.wait_idle()
    expect(page.status).to_contain_text("branch")
    press(page, "Alt+Shift+T")
    expect(page.page.locator(".jp-Dialog select")).to_be_focused()
    page.page.keyboard.type("standby")
    press(page, "Enter")
    terminal = page.output('branch.terminal("standby.replicator.1")').locator(".xterm")
    terminal.wait_for()
    page.wait_idle()
    tab_to(page, ".xterm-helper-textarea")
    page.page.keyboard.type("ss -tn\n")
    expect(terminal).to_contain_text("Peer Address:Port")
    page.screenshot("keyboard-terminal")
    press(page, "Shift+Escape")

    press(page, "Alt+Shift+P")
    tab_to(page, "[data-key=Likelihood]")
    press(page, "Alt+Shift+I")
    inserted = page.cell("run.likelihood(").locator(".cm-content")
    expect(inserted).to_be_focused()
    expect(inserted).to_contain_text('crash = failure(exit="standby.replicator.1")')
    press(page, "Control+End", "Control+Shift+Home")  # select all of it, to replace it
    page.page.keyboard.type(CURVE)
    press(page, "Control+Enter")
    expect(page.panel.get_by_role("progressbar")).to_be_visible()
    notebook = page.evaluate("window.jupyterapp.shell.currentWidget.title.label")
    press(page, "Alt+w")
    expect(page.page.get_by_role("button", name="Save", exact=True)).to_be_focused()
    press(page, "Enter")
    expect(page.panel).to_contain_text("No notebook is open")
    page.screenshot("keyboard-closed")

    press(page, "Control+Shift+F")
    tab_to(page, ".jp-DirListing-itemText")
    for _ in range(page.page.locator(".jp-DirListing-item").count()):
        if page.evaluate("document.activeElement.textContent") == notebook:
            break
        press(page, "ArrowDown")
    press(page, "Enter")
    page.cells.first.wait_for()
    expect(page.status).to_contain_text("aria")
    press(page, "Alt+Shift+P")
    tab_to(page, "[data-key=Attach]")
    press(page, "Enter")
    page.wait_idle()
    attached = page.output("jobs.attach(").locator("img")
    expect(attached).to_have_count(1)
    expect(attached).to_be_visible()
    page.screenshot("keyboard-attached")
    assert not page.problems


def test_the_timeline_strip_is_a_slider_for_the_arrow_keys(page: LabPage) -> None:
    page.palette("Open Recording…")
    page.cells.first.wait_for()
    page.wait_idle()
    press(page, "Alt+Shift+P")
    page.panel.locator(".bpl-strip").wait_for()
    tab_to(page, ".bpl-strip")
    before = float(page.panel.get_by_role("slider").get_attribute("aria-valuenow") or 0)
    press(page, "ArrowLeft", "ArrowLeft")
    slider = page.panel.get_by_role("slider")
    expect(slider).to_be_focused()
    assert abs(before - float(slider.get_attribute("aria-valuenow") or 0) - 0.2) < 1e-5
    press(page, "Alt+Shift+H")
    page.wait_idle()
    expect(page.output("moment = run.at(")).to_contain_text("main@")
