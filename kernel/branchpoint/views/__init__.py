"""Views: widgets that show a recording in a cell and react to clicks.

Each has a static picture, which is shown where no kernel runs. Widgets are loaded when the first
one is made; a script that makes none loads nothing of Jupyter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from branchpoint import showing
from branchpoint.events.event import EventSet
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.recording import Recording

if TYPE_CHECKING:
    from branchpoint.search.exploration import Exploration
    from branchpoint.timeline.capture.packets import Packets
    from branchpoint.timeline.commands.terminal import Terminal
    from branchpoint.timeline.comparing import Comparison
    from branchpoint.views.compare import ComparisonView
    from branchpoint.views.log import LogView
    from branchpoint.views.map import MapView
    from branchpoint.views.packets import PacketsView
    from branchpoint.views.slider import MomentSlider
    from branchpoint.views.stretches import ExplorationMap
    from branchpoint.views.terminal import TerminalView
    from branchpoint.views.timeline import TimelineView


def log(events: EventSet, **filters: Any) -> LogView:
    """The log explorer: ``events`` as a table to scroll, search and pick moments in.

    ``filters`` are those of :meth:`LogView.filter`.
    """
    from branchpoint.views.log import LogView

    return LogView(events, **filters)


def timeline(subject: Recording | Branch, **options: Any) -> TimelineView:
    """The timeline of a recording or of a branch: a lane for each container with its events,
    checkpoints, and the likelihood curves that were drawn.
    """
    from branchpoint.views.timeline import TimelineView

    return TimelineView(subject, **options)


def slider(subject: Recording | Branch, **options: Any) -> MomentSlider:
    """A slider over the instants of a recording or of a branch, for ``interact``."""
    from branchpoint.views.slider import MomentSlider

    return MomentSlider(subject, **options)


def terminal(terminal: Terminal) -> TerminalView:
    """A terminal of a branch, to type in."""
    from branchpoint.views.terminal import TerminalView

    return TerminalView(terminal)


def packets(captured: Packets, **options: Any) -> PacketsView:
    """Captured packets as a table, with the bytes of the chosen packet."""
    from branchpoint.views.packets import PacketsView

    return PacketsView(captured, **options)


def map(run: Recording, **options: Any) -> MapView:
    """The branches of a recording as a tree."""
    from branchpoint.views.map import MapView

    return MapView(run, **options)


def exploration(found: Exploration, **options: Any) -> ExplorationMap:
    """The stretches of an exploration as a tree."""
    from branchpoint.views.stretches import ExplorationMap

    return ExplorationMap(found, **options)


def compare(comparison: Comparison, **options: Any) -> ComparisonView:
    """Two timelines side by side."""
    from branchpoint.views.compare import ComparisonView

    return ComparisonView(comparison, **options)


def install() -> None:
    """Register these views, so that ``run.timeline()``, ``events.explore()``, ... show them."""
    showing.use("log", log)
    showing.use("timeline", timeline)
    showing.use("slider", slider)
    showing.use("terminal", terminal)
    showing.use("packets", packets)
    showing.use("map", map)
    showing.use("exploration", exploration)
    showing.use("compare", compare)
