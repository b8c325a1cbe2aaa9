"""Views together with the usual widgets of notebooks: boxes, interact, observe."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from captures import SYN, captured, segment
from likelihoods import exit_of, recording
from recordings import ORIGIN, SECOND, event

from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import Point
from branchpoint.views.slider import MomentSlider


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "run.branchpoint", [event(1), event(2), exit_of(3)]) as made:
        yield made


def test_what_is_chosen_in_a_view_is_its_value(run: Recording) -> None:
    for view in (run.events.explore(), run.timeline(), run.map()):
        assert isinstance(view, ipywidgets.DOMWidget) and isinstance(view, ipywidgets.ValueWidget)
        seen: list[Any] = []
        view.observe(lambda change, seen=seen: seen.append(change.new), "value")
        assert view.value is None
        view.select(0 if view.kind == "map" else 2)
        assert seen == [view.moment] and view.value == view.moment is not None
        assert view.get_interact_value() == view.moment


def test_the_value_of_a_comparison_are_both_moments(run: Recording) -> None:
    other = run.at(1.5).branch()
    other._history.log.append(event(2.5, "other"))
    other._history.tip = Point(ORIGIN + 4 * SECOND, other._history.tip.count)
    view = run.compare(run.end, other).explore()
    view._on_select({"number": view.comparison.first_number})
    assert view.value == view.moments and view.value != (None, None)


def test_the_value_of_packets_is_the_moment_of_one(run: Recording) -> None:
    packets = captured(segment(flags=SYN))
    packets.moment_of = run.at_ns
    view = packets.explore()
    view.select(0)
    assert view.value == view.moment is not None


def test_nobody_sets_the_value_but_the_view(run: Recording) -> None:
    import traitlets

    view = run.timeline()
    with pytest.raises(traitlets.TraitError):
        view.value = 3


def test_a_view_and_a_slider_drive_interact(run: Recording) -> None:
    seen: list[Any] = []
    view = run.events.explore()
    slider = run.slider()

    def look(chosen: Any, at: Any) -> None:
        seen.append((chosen, at))

    both = ipywidgets.interactive(look, chosen=view, at=slider)
    assert {view, slider} < set(both.children)
    seen.clear()
    view.select(1)
    slider.value = 2.5
    assert seen[-1] == (run.at(1), run.at(2.5))


def test_a_slider_gives_moments_of_its_timeline(run: Recording) -> None:
    slider = run.slider()
    assert isinstance(slider, MomentSlider)
    assert (slider.min, slider.max, slider.moment) == (0, 30, run.end)
    slider.value = 0.123
    assert slider.moment == run.at("0.123")
    branch = run.at(2).branch()
    branch._history.tip = Point(ORIGIN + 4_000_000_001, branch._history.tip.count)
    slider = branch.slider(step=0.5, description="when")
    assert (slider.moment, slider.step, slider.description) == (branch.end, 0.5, "when")
    slider.value = 3
    assert slider.moment.at == ORIGIN + 3 * SECOND
    run.files.manifest = run.manifest.with_(failure=ORIGIN + 3 * SECOND)
    assert run.slider().moment == run.failure


def test_views_stand_in_boxes_and_tabs(run: Recording) -> None:
    box = ipywidgets.HBox([run.timeline(), ipywidgets.VBox([run.map(), run.events.explore()])])
    assert [child.kind for child in box.children[1].children] == ["map", "log"]
    for view in box.children[1].children:
        view.layout.width = "40%"
        assert view.get_state()["layout"].startswith("IPY_MODEL_")
