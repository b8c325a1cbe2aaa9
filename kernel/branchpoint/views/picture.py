"""A timeline as a still picture: for pages on which nothing moves."""

from __future__ import annotations

from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from branchpoint.explore.plot import saved
from branchpoint.timeline import tables
from branchpoint.timeline.clock import SECOND
from branchpoint.timeline.listing import inert

if TYPE_CHECKING:
    from branchpoint.views.timeline import TimelineView

_WIDTH = 8.6  # inches
_DPI = 144
_LANE, _CURVE, _AXIS, _HEAD = 0.24, 1.1, 0.45, 0.12  # inches
_COLUMNS = 480
_MOST_LANES = 24
_MOST_ROWS = 20
_LABEL = 30  # characters
_COLOURS = 256
_INK, _SOFT, _BAND = "#16324f", "#5f6b78", "#b8c7d9"
_STATES = {"running": "#9cc3a5", "paused": "#d9c77f"}
_MARKS = {
    "restart": (">", "#1a7431"),
    "fault": ("D", "#8a6100"),
    "violation": ("P", "#b3261e"),
    "exit": ("X", "#b3261e"),
}
"""Signs and colours, the most important one last: it is drawn over the others."""


def html(view: TimelineView) -> str:
    """A picture of what a timeline shows, and a table of what happened."""
    picture = b64encode(_png(view)).decode()
    width = round(_WIDTH * 100)
    start, end = view.window
    words = f"Timeline from {start:.3f} s to {end:.3f} s of virtual time"
    image = f'<img alt="{escape(words)}" width="{width}" src="data:image/png;base64,{picture}">'
    events = view._notable()
    rows = [
        (f"{e.vtime:.6f}", inert(e.container, 40), inert(e.type, 30), inert(e.text, 100))
        for e in events[:_MOST_ROWS]
    ]
    more = tables.note(f"{len(events) - _MOST_ROWS} more") if len(events) > _MOST_ROWS else ""
    table = tables.html(("vtime", "container", "event", "text"), rows) if rows else ""
    return image + table + more


def _png(view: TimelineView) -> bytes:
    names = view._lanes.names[: _MOST_LANES + 1]
    curves = view._curves[:1]
    high = len(names) * _LANE + _AXIS + _HEAD + _CURVE * len(curves)
    figure = Figure(figsize=(_WIDTH, high), dpi=_DPI)
    FigureCanvasAgg(figure)
    left, width = 0.23, 0.755
    lanes = figure.add_axes((left, _AXIS / high, width, len(names) * _LANE / high))
    _draw_lanes(view, lanes, len(names))
    if curves:
        bottom = (_AXIS + len(names) * _LANE + 0.1) / high
        above = figure.add_axes((left, bottom, width, (_CURVE - 0.15) / high), sharex=lanes)
        _draw_curve(view, above)
    return saved(figure, _COLOURS)


def _draw_lanes(view: TimelineView, ax: Axes, count: int) -> None:
    (low, high), lanes = view._stretch, view._lanes
    start, end = view.window
    scale = (end - start) / _COLUMNS
    for span in lanes.states(low, high, _COLUMNS):
        colour = _STATES.get(span.what)
        if colour and span.lane < count:
            reach = [start + span.start * scale, start + span.end * scale]
            ax.plot(reach, [span.lane + 0.36] * 2, color=colour, linewidth=2.5, zorder=1,
                    solid_capstyle="butt")  # fmt: skip
    for fault in lanes.faults(low, high, _COLUMNS):
        if fault.lane < count:
            reach = [start + fault.start * scale, start + fault.end * scale]
            ax.plot(reach, [fault.lane - 0.3] * 2, color="#d39b1d", linewidth=2.5, zorder=1,
                    solid_capstyle="butt")  # fmt: skip
    lines, _ = lanes.lines(low, high, _COLUMNS)
    heights = np.frombuffer(lines, np.uint8).reshape(len(lanes.names), _COLUMNS)[:count]
    for lane, row in enumerate(heights):
        seen = np.flatnonzero(row)
        tops = lane + 0.28 - 0.55 * row[seen] / 255
        ax.vlines(start + (seen + 0.5) * scale, lane + 0.28, tops, color=_SOFT, linewidth=0.7)
    failure = view.state["failure"]
    if failure is not None:
        ax.axvline(failure / SECOND, color="#b3261e", linewidth=0.8, linestyle=(0, (4, 3)))
    marks = lanes.marks(low, high, _COLUMNS)
    for kind, (shape, colour) in _MARKS.items():
        mine = [mark for mark in marks if mark.kind == kind and mark.lane < count]
        at = [mark.at / SECOND for mark in mine]
        ax.scatter(at, [mark.lane for mark in mine], 28, marker=shape, color=colour,
                   edgecolors="white", linewidths=0.6, zorder=3)  # fmt: skip
    ax.set_xlim(start, end)
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_yticks(range(count), [inert(name, _LABEL) for name in lanes.names[:count]])
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(labelsize=8, length=2)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("virtual time (s)", fontsize=8, labelpad=1)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _draw_curve(view: TimelineView, ax: Axes) -> None:
    curve = view._curves[0]
    points = [point for point in curve.points if point.trials]
    at = [(point.at - curve.origin) / SECOND for point in points]
    low, high = zip(*(point.interval for point in points), strict=True)
    ax.fill_between(at, low, high, color=_BAND, linewidth=0)
    ax.plot(at, [point.p for point in points], color=_INK, linewidth=1, marker="o", markersize=2.5)
    ax.set_ylim(-0.04, 1.04)
    ax.set_yticks([0, 0.5, 1])
    ax.set_ylabel("P(failure)", fontsize=8)
    ax.tick_params(labelsize=8, length=2, labelbottom=False)
    ax.spines[["top", "right"]].set_visible(False)
