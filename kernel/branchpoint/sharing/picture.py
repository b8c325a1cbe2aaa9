"""A recording as a picture: its containers as lanes, with what befell them."""

from __future__ import annotations

from matplotlib.axes import Axes

from branchpoint.explore import plot
from branchpoint.sharing.occurrences import Stretch, faults, lives
from branchpoint.timeline.clock import SECOND
from branchpoint.timeline.recording import Recording

_WIDTH = 9.0  # inches
_LANE = 0.26  # inches
_LANES = 60  # more are not drawn
_LIFE, _FAULT, _FAILURE = "#b8c7d9", "#c0562f", "#16324f"
_TEXT = 8  # points
_NAME = 34  # characters
_OTHERS = "(others)"
"""The lane of faults of what is no container."""


def timeline(run: Recording) -> bytes:
    """The bytes of a PNG."""
    names = [container.name for container in run.manifest.containers][:_LANES]
    struck = faults(run)
    others = [_OTHERS] if any(fault.who not in names for fault in struck) else []
    height = _LANE * (len(names) + len(others)) + 0.9
    picture = plot.blank(_WIDTH, height)
    axes = picture.add_axes((0.24, 0.5 / height, 0.74, 1 - 0.7 / height))
    lanes = {name: -number for number, name in enumerate([*names, *others])}
    for life in lives(run):
        if life.who in lanes:
            _draw_life(run, axes, life, lanes[life.who])
    for fault in struck:
        _draw_fault(run, axes, fault, lanes.get(fault.who, -len(names)))
    if run.manifest.failure is not None:
        at = _seconds(run, run.manifest.failure)
        axes.axvline(at, color=_FAILURE, linewidth=1.0, linestyle=(0, (4, 3)))
    shown = [plot.plain(name, _NAME) for name in lanes]
    axes.set_yticks(list(lanes.values()), shown, fontsize=_TEXT)
    axes.set_ylim(0.3 - len(lanes), 0.7)
    axes.set_xlim(min(0.0, _seconds(run, run.earliest)), _seconds(run, run.manifest.end))
    axes.tick_params(labelsize=_TEXT)
    axes.set_xlabel("virtual time (s)", fontsize=_TEXT)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    return plot.saved(picture)


def _seconds(run: Recording, at: int) -> float:
    return (at - run.origin) / SECOND


def _draw_life(run: Recording, axes: Axes, life: Stretch, lane: int) -> None:
    start, end = _seconds(run, life.start), _seconds(run, life.end)
    axes.barh(lane, end - start, left=start, height=0.5, color=_LIFE)
    if life.ended is not None:
        axes.plot([end], [lane], color=_FAILURE, marker="x", markersize=6)


def _draw_fault(run: Recording, axes: Axes, fault: Stretch, lane: int) -> None:
    start, end = _seconds(run, fault.start), _seconds(run, fault.end)
    axes.plot([start, end], [lane + 0.32] * 2, color=_FAULT, linewidth=2.2)
    axes.plot([start], [lane + 0.32], color=_FAULT, marker="v", markersize=5)
