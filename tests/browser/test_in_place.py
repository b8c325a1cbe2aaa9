"""What stays in its place while other things change: marks, the focus, conditions that were begun;
and which recording a line of a log leads to."""

from __future__ import annotations

from pathlib import Path

import pytest
import test_views_in_lab
from playwright.sync_api import expect
from test_views_in_lab import Views

folder, views = test_views_in_lab.folder, test_views_in_lab.views  # the same fixtures

MARKS = """
start = dict(source="life", stream="", type="container.start")
starts = [event(n / 4, "pid=7", **start) for n in range(60)]
run = recording(Path("marks.branchpoint"), [*starts, exit_of(29.5)])
branch = run.at(3).branch()
run.timeline()"""

PASSING = """
history, n = branch._history, 30
while not Path({stop!r}).exists():
    n += 1
    history.tip = history.point(ORIGIN + n * SECOND // 10)
    for watcher in list(history.watchers):
        watcher(False)
    time.sleep(0.05)
for watcher in list(history.watchers):
    watcher(True)
"""

TWO = (
    """
one = recording(Path("one.branchpoint"), [event(2, "of one"), exit_of(9)])
one.events.explore()""",
    """
two = recording(Path("two.branchpoint"), [event(2, "of two"), exit_of(9)])
two""",
)


@pytest.mark.long
def test_the_panel_stays_as_it_is_while_time_passes_in_a_branch(views: Views, folder: Path) -> None:
    views.open(MARKS)
    views.lab.show_panel()
    panel, marks = views.lab.panel, views.lab.panel.locator(".bpl-marks")
    mark = panel.locator(".bpl-mark").nth(20)
    mark.click()
    expect(mark).to_have_attribute("aria-pressed", "true")
    expect(mark).to_be_focused()
    top = marks.evaluate("el => el.scrollTop")
    assert top > 0

    views.lab.run(PASSING.format(stop=str(folder / "stop")))
    end = panel.locator(".bpl-branch small")
    for _ in range(2):  # the first change may be that the cell has begun
        before = end.inner_text()
        views.page.evaluate("window.mark = document.querySelector('.bpl-mark')")
        expect(end).not_to_have_text(before)
    assert views.page.evaluate("window.mark.isConnected")
    assert marks.evaluate("el => el.scrollTop") == top
    views.lab.evaluate("window.jupyterapp.commands.execute('filebrowser:refresh')")
    recording = panel.get_by_role("button", name="marks.branchpoint")
    recording.focus()
    views.lab.evaluate("window.jupyterapp.commands.execute('filebrowser:refresh')")
    expect(recording).to_be_focused()
    (folder / "stop").touch()
    views.lab.wait_idle()

    canvas = views.view().locator("canvas")
    canvas.focus()
    views.page.keyboard.press("ArrowRight")
    views.page.keyboard.press("Escape")
    expect(canvas).to_be_focused()
    views.page.keyboard.press("Escape")
    expect(canvas).not_to_be_focused()


def test_a_line_of_a_log_leads_to_its_own_recording(views: Views) -> None:
    views.open(*TWO)
    views.lab.show_panel()
    view, panel = views.view(), views.lab.panel
    view.get_by_role("button", name="Near").click()
    view.get_by_label("Search the text").fill("of one")
    expect(view.get_by_role("status")).to_have_text("1 of 2 events")
    expect(view.get_by_label("Which event")).to_be_visible()

    row = view.locator("[data-vtime]", has_text="of one")
    row.click(button="right")
    views.page.get_by_text("Insert the Cell of This Moment").click()
    expect(views.lab.cell("moment = one.at(2.0)")).to_be_visible()
    expect(panel).to_contain_text("chosen: 2.000 s in one.branchpoint")  # `two` was used last
    views.lab.run("one = two")
    expect(panel).not_to_contain_text("chosen:")
    row.click(button="right")
    item = views.page.get_by_role("menuitem", name="Rewind to This Line")
    expect(item).to_have_attribute("aria-disabled", "true")
    views.page.keyboard.press("Escape")
