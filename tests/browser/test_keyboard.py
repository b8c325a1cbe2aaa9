"""The same story without a mouse."""

from __future__ import annotations

from labpage import LabPage
from playwright.sync_api import expect


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

    press(page, "Alt+Shift+P")
    tab_to(page, ".bpl-failed")
    press(page, "Enter")
    expect(page.panel).to_contain_text("chosen:")
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


def test_the_timeline_strip_is_a_slider_for_the_arrow_keys(page: LabPage) -> None:
    page.palette("Open Recording…")
    page.cells.first.wait_for()
    page.wait_idle()
    press(page, "Alt+Shift+P")
    tab_to(page, ".bpl-strip")
    before = float(page.panel.get_by_role("slider").get_attribute("aria-valuenow") or 0)
    press(page, "ArrowLeft", "ArrowLeft")
    slider = page.panel.get_by_role("slider")
    expect(slider).to_be_focused()
    assert abs(before - float(slider.get_attribute("aria-valuenow") or 0) - 0.2) < 1e-5
    press(page, "Alt+Shift+H")
    page.wait_idle()
    expect(page.output("moment = run.at(")).to_contain_text("main@")
