"""How the views look when they open: the log at its failure and folded, the fault visible; and what
the timeline adds when it is asked who ran."""

from __future__ import annotations

import pytest
import test_views_in_lab
from playwright.sync_api import Locator, expect
from test_views_in_lab import Views

folder, views = test_views_in_lab.folder, test_views_in_lab.views  # the same fixtures

LONG = (
    "from branchpoint.events.event import EventLog, EventSet\n"
    "kernel = dict(source='kernel', container='')\n"
    "log = EventLog()\n"
    "log.extend([*(event(n / 100, f'veth{n}', **kernel) for n in range(60)), "
    "*(event(1 + n / 100, 'again') for n in range(300)), "
    "*(event(5 + n / 10, f'line {n}') for n in range(100)), exit_of(15.05), "
    "*(event(16 + n / 10, f'later {n}') for n in range(100))])\n"
    "events = EventSet(log.columns(), origin=ORIGIN)\n"
)

RAN = """
from branchpoint.timeline.schedule import Schedule, Slice
from importlib import import_module
turns = [(n, n + 0.5, ("db.1", "web.1", "")[n % 3]) for n in range(30)]
slices = [Slice(ORIGIN + int(a * SECOND), ORIGIN + int(b * SECOND), 7, 7, "postgres", who)
          for a, b, who in turns]
module = import_module("branchpoint.views.timeline")
module.schedule = lambda start, end: Schedule(start, end, slices, True)
t = run.timeline()
t"""


def test_a_log_opens_at_its_failure_and_shows_what_is_folded(views: Views) -> None:
    views.open(LONG + "view = events.explore()\nview", "events.explore(follow=True)")
    view = views.view()
    expect(view.get_by_role("status")).to_have_text("561 events")
    expect(view.locator(".bpv-bad:visible")).to_have_count(1)
    expect(view.get_by_text("line 99")).to_be_visible()
    expect(views.view(1).get_by_text("later 99")).to_be_visible()
    table = view.locator(".bpv-table")
    table.evaluate("el => { el.scrollTop = 0; }")
    expect(view.locator(".bpv-line:visible .bpv-text").nth(0)).to_have_text(
        "▸60 lines of the kernel"
    )
    again = view.locator(".bpv-line:visible .bpv-text", has_text="again")
    expect(again).to_have_text(["▸again  × 300"])
    again.get_by_role("button").click()
    expect(again.first).to_have_text("▾again  × 300")
    expect(view.get_by_text("line 0")).to_be_hidden()
    again.nth(2).click()
    expect(view.locator(".bpv-moment")).to_have_text("1.020 s")
    again.first.click()
    views.page.keyboard.press("ArrowLeft")
    expect(again).to_have_text(["▸again  × 300"])
    expect(view.get_by_text("line 0")).to_be_visible()
    view.get_by_role("button", name="Show repeated lines").click()
    expect(table).to_have_attribute("aria-rowcount", "562")
    table.evaluate("el => { el.scrollTop = 0; }")
    expect(view.get_by_text("veth0")).to_be_visible()
    assert views.value("view.folding") == "False"


@pytest.mark.long
def test_the_timeline_shows_a_fault_above_the_exit_that_it_caused(views: Views) -> None:
    views.open(
        "from likelihoods import END\n"
        "kill = dict(id='1', type='kill', target='db.1')\n"
        "harmed = recording(Path('harmed.branchpoint'), [event(10, 'kill db.1', source='fault',"
        " stream='', type='fault.start', fields=kill), exit_of(10.003, asked='1')])\n"
        "t = harmed.timeline()\nt"
    )
    canvas = views.view().locator("canvas")
    sign = """(canvas, name) => {
      const probe = document.createElement('canvas').getContext('2d');
      probe.fillStyle = getComputedStyle(canvas).getPropertyValue(name);
      const wanted = [1, 3, 5].map(n => parseInt(probe.fillStyle.slice(n, n + 2), 16));
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, 24);
      let count = 0;
      for (let n = 0; n < data.length; n += 4) {
        count += wanted.every((v, i) => Math.abs(v - data[n + i]) < 8) ? 1 : 0;
      }
      return count;
    }"""
    views.page.wait_for_function(f"el => ({sign})(el, '--red') > 10", arg=canvas.element_handle())
    assert canvas.evaluate(sign, "--yellow") > 15
    views.value("t.zoom(9.9, 10.1)")
    views.page.wait_for_function(
        f"el => ({sign})(el, '--yellow') > 15 && ({sign})(el, '--red') > 10",
        arg=canvas.element_handle(),
    )


@pytest.mark.long
def test_the_timeline_shows_who_had_the_processor_in_a_short_stretch(views: Views) -> None:
    views.open(RAN)
    view = views.view()
    legend = view.get_by_text("has the processor")
    who = view.get_by_role("button", name="Show which container has the processor")
    expect(legend).to_be_hidden()
    who.click()
    expect(view.get_by_role("alert")).to_contain_text("at most 10 virtual s at once")
    assert views.value("t.zoom(12, 15).window") == "(12.0, 15.0)"
    before = canvas_of(view)
    who.click()
    expect(legend).to_be_visible()
    expect(view.get_by_role("alert")).to_be_hidden()
    assert canvas_of(view) != before
    canvas = view.locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    views.page.mouse.move(box["x"] + box["width"] * 0.15, box["y"] + 12)
    expect(view.locator(".bpv-tip")).to_have_text("postgres (thread 7) for 500.000 ms")


def canvas_of(view: Locator) -> str:
    """What is drawn."""
    said: str = view.locator("canvas").evaluate("el => el.toDataURL()")
    return said


NIGHT = """
import shutil
from explorations import add, begun
shutil.rmtree("night.bpx", ignore_errors=True)
exploration = begun(Path("night.bpx"))
for n in range(400):
    add(exploration, f"line {n % 350}", failed="exit of db.1" if n in (7, 399) else "")
exploration.map()"""


@pytest.mark.long
def test_the_map_of_an_exploration_gives_its_stretches(views: Views) -> None:
    views.open(NIGHT)
    view = views.view()
    expect(view.get_by_role("status")).to_contain_text("400 stretches, 100 of them not drawn")
    view.get_by_role("option", name="8 unexpected exit: exit of db.1, failed").click()
    expect(view.locator(".bpv-moment code")).to_have_text("exploration.branch(8)")
    view.get_by_role("option", name="100 more stretches: 1 failed").click()
    expect(view.locator(".bpv-moment code")).to_have_count(0)
    row = view.get_by_role("row").filter(has_text="stretch 400")
    view.locator(".bpv-detail .bpv-table").evaluate("el => { el.scrollTop = el.scrollHeight; }")
    row.click()
    expect(view.locator(".bpv-moment code")).to_have_text("exploration.branch(400)")
