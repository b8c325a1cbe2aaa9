"""A timeline as a still picture, for pages without scripts."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from branchpoint.clock import SECOND
from branchpoint.events import listing
from branchpoint.futures import plot
from branchpoint.futures.curve import Curve
from branchpoint.sharing.report.lanes import Lanes
from branchpoint.sharing.report.processor import Processor

WIDTH = 860
"""Its size on a page, in pixels."""
_LANE, _CURVE, _AXIS, _HEAD = 0.24, 1.1, 0.45, 0.12  # inches
_LEFT, _WIDE = 0.23, 0.755  # of the width: where the lanes begin, and how wide they are
_COLUMNS = 480
_LABEL = 30  # characters
_COLOURS = 256
_INK, _SOFT, _BAND = "#16324f", "#5f6b78", "#b8c7d9"
_RAN = (0.12, 0.44, 0.85)  # red, green, blue
_FAINT, _FULL = 0.2, 0.6  # opacity where a container had the processor at all, and all the time
_STATES = {"running": "#9cc3a5", "paused": "#d9c77f"}
_MARKS = {
    "restart": (">", "#1a7431"),
    "fault": ("D", "#8a6100"),
    "violation": ("P", "#b3261e"),
    "exit": ("X", "#b3261e"),
}
_WORDS = {
    "fault": "◆ fault, with a bar while it lasts",
    "exit": "✖ exit",
    "violation": "✚ violated assertion",
    "restart": "▶ restart",
    "running": "green: running",
    "paused": "yellow: paused",
}
"""Signs and colours. The last one is drawn over the others; faults have a row above them."""
_ROW, _FAULTS = 0.05, -0.3  # of a lane: where signs are drawn, and faults


def png(
    lanes: Lanes,
    start: int,
    end: int,
    *,
    failure: int | None = None,
    curve: Curve | None = None,
    processor: Processor | None = None,
    most: int = 25,
) -> bytes:
    """The stretch from ``start`` to ``end`` of the first ``most`` lanes, as a PNG.

    Instants are absolute ns; ``failure`` is marked in all lanes, ``curve`` stands above them. With
    ``processor``, lanes are tinted where they had it.
    """
    count = min(len(lanes.names), most)
    high = count * _LANE + _AXIS + _HEAD + (_CURVE if curve else 0)
    figure = plot.blank(WIDTH / 100, high)
    below = figure.add_axes((_LEFT, _AXIS / high, _WIDE, count * _LANE / high))
    _draw_lanes(lanes, below, start, end, count)
    if processor is not None:
        _draw_processor(processor, below, start, end, count)
    if failure is not None:
        at = (failure - lanes.origin) / SECOND
        below.axvline(at, color="#b3261e", linewidth=0.8, linestyle=(0, (4, 3)))
    if curve is not None:
        bottom = (_AXIS + count * _LANE + 0.1) / high
        above = figure.add_axes((_LEFT, bottom, _WIDE, (_CURVE - 0.15) / high), sharex=below)
        _draw_curve(curve, above)
    return plot.saved(figure, _COLOURS)


def legend(
    lanes: Lanes,
    start: int,
    end: int,
    *,
    failure: int | None = None,
    processor: Processor | None = None,
) -> str:
    """What the signs and colours of such a picture mean: of those that are in it."""
    kinds = {mark.kind for mark in lanes.marks(start, end, _COLUMNS)}
    kinds |= {span.what for span in lanes.states(start, end, _COLUMNS)}
    words = [text for kind, text in _WORDS.items() if kind in kinds]
    words.append("grey: lines of output")
    if processor is not None:
        words.append("blue: has the processor")
    if failure is not None:
        words.append("dashed: the recorded failure")
    return " · ".join(words)


def _draw_lanes(lanes: Lanes, ax: Axes, low: int, high: int, count: int) -> None:
    start, end = ((at - lanes.origin) / SECOND for at in (low, high))
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
            ax.plot(reach, [fault.lane + _FAULTS] * 2, color="#d39b1d", linewidth=2.5, zorder=1,
                    solid_capstyle="butt")  # fmt: skip
    lines, _ = lanes.lines(low, high, _COLUMNS)
    heights = np.frombuffer(lines, np.uint8).reshape(len(lanes.names), _COLUMNS)[:count]
    for lane, row in enumerate(heights):
        seen = np.flatnonzero(row)
        tops = lane + 0.28 - 0.55 * row[seen] / 255
        ax.vlines(start + (seen + 0.5) * scale, lane + 0.28, tops, color=_SOFT, linewidth=0.7)
    marks = lanes.marks(low, high, _COLUMNS)
    for kind, (shape, colour) in _MARKS.items():
        mine = [mark for mark in marks if mark.kind == kind and mark.lane < count]
        row = _FAULTS if kind == "fault" else _ROW
        ax.scatter([mark.at / SECOND for mark in mine], [mark.lane + row for mark in mine], 28,
                   marker=shape, color=colour, edgecolors="white", linewidths=0.6,
                   zorder=3)  # fmt: skip
    ax.set_xlim(start, end)
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_yticks(
        range(count),
        [plot.plain(listing.name(name, _LABEL), _LABEL) for name in lanes.names[:count]],
    )
    for label in ax.get_yticklabels():
        label.set_parse_math(False)
    ax.tick_params(labelsize=8, length=2)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("virtual time (s)", fontsize=8, labelpad=1)
    ax.spines[["top", "right", "left"]].set_visible(False)


def _draw_processor(processor: Processor, ax: Axes, low: int, high: int, count: int) -> None:
    shares = np.frombuffer(processor.shares(low, high, _COLUMNS), np.uint8)
    rows = shares.reshape(-1, _COLUMNS)[:count]
    image = np.empty((*rows.shape, 4))
    image[..., :3] = _RAN
    image[..., 3] = np.where(rows > 0, _FAINT + (_FULL - _FAINT) * rows / 255, 0)
    (left, right), edges = ax.get_xlim(), ax.get_ylim()
    ax.imshow(image, extent=(left, right, count - 0.5, -0.5), aspect="auto", zorder=0.5,
              interpolation="nearest")  # fmt: skip
    ax.set_xlim(left, right)
    ax.set_ylim(edges)


def _draw_curve(curve: Curve, ax: Axes) -> None:
    points = [point for point in curve.points if point.trials]
    at = [(point.at - curve.origin) / SECOND for point in points]
    intervals = [point.interval for point in points]
    low, high = [low for low, _ in intervals], [high for _, high in intervals]
    ax.fill_between(at, low, high, color=_BAND, linewidth=0)
    ax.plot(at, [point.p for point in points], color=_INK, linewidth=1, marker="o", markersize=2.5)
    ax.set_ylim(-0.04, 1.04)
    ax.set_yticks([0, 0.5, 1])
    ax.set_ylabel("P(failure)", fontsize=8)
    ax.tick_params(labelsize=8, length=2, labelbottom=False)
    ax.spines[["top", "right"]].set_visible(False)
