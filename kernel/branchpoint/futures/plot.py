"""A curve as a picture: matplotlib, without its global state, small and the same every time."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image  # of matplotlib, which writes its own PNG with it

from branchpoint.clock import SECOND
from branchpoint.events.event import Event, EventSet
from branchpoint.events.listing import inert
from branchpoint.futures.curve import Curve

_WIDTH, _HEIGHT = 7.2, 3.9  # inches
_DPI = 144
_INK, _BAND, _TURN = "#16324f", "#b8c7d9", "#e9dcc3"  # dark, middle and light also without colour
_TEXT = 8  # points
_TITLE = 11.5  # points that a line of the title takes
_TITLE_LENGTH = 96  # characters
_ROW = 0.085  # of the height of P = 0 to 1 that a row of labels takes
_ROWS = 5  # of labels
_GAP = 6  # points between a mark and its label
_LABEL = 56  # characters
_COLOURS = 64  # of a stored picture: a third of the bytes, and no difference to see
_LATIN = 0x250  # what the font is sure to have


ON_PAPER = {"needs_background": "light"}
"""Metadata of a picture in a notebook: it is made for a light background. In a dark JupyterLab our
extension makes it dark."""


class Picture(Figure):
    """A matplotlib figure that a notebook shows without matplotlib's own help."""

    words = ""
    """What it shows, in words, for people who cannot see it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        return saved(self), {"alt": self.words}


@dataclass(frozen=True)
class _Mark:
    """Something that happened, on the time axis; seconds."""

    start: float
    end: float
    label: str
    is_fault: bool


def draw(curve: Curve, ax: Axes | None = None) -> Figure:
    """Draw a curve into ``ax``, or into a new picture, which is returned."""
    if ax is None:
        picture = blank(_WIDTH, _HEIGHT)
        picture.words = words(curve)
        title = (_TITLE * len(curve.summary) + 8) / 72 / _HEIGHT
        ax = picture.add_axes((0.075, 0.12, 0.91, 0.88 - title))
    low, high = ((ns - curve.origin) / SECOND for ns in curve.span)
    margin = (high - low) * 0.02 or 0.5
    ax.set_xlim(low - margin, high + margin)
    _draw_steps(curve, ax)
    _draw_points(curve, ax)
    rows = _draw_events(curve, ax)
    ax.set_ylim(-_ROW * (rows + 0.6) if rows else -0.04, 1.04)
    ax.set_yticks(np.arange(0, 1.1, 0.2))
    ax.grid(axis="y", color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines["left"].set_bounds(0, 1)
    ax.tick_params(labelsize=_TEXT)
    # Readers ask what the 95 % mean, and there is room to say it.
    how_sure = "95 %: bars at each point, the band at all points together"
    ax.set_xlabel(f"virtual time (s)        {how_sure}", fontsize=_TEXT + 1)
    ax.set_ylabel("P(failure)", fontsize=_TEXT + 1, y=0.6)
    ax.set_title(
        "\n".join(plain(line, _TITLE_LENGTH) for line in curve.summary),
        fontsize=_TEXT + 0.5, loc="left", linespacing=1.35, parse_math=False,
    )  # fmt: skip
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def png(curve: Curve) -> tuple[bytes, dict[str, int]]:
    """The bytes of the picture, and in how many pixels a notebook shows it."""
    size = {"width": round(_WIDTH * 100), "height": round(_HEIGHT * 100)}
    return saved(draw(curve)), size


def words(curve: Curve) -> str:
    """What the picture shows, in words, for people who cannot see it."""
    return "Curve of " + "; ".join(inert(line, _TITLE_LENGTH) for line in curve.summary)


def blank(width: float, height: float) -> Picture:
    """An empty picture of so many inches, outside matplotlib's global state."""
    picture = Picture(figsize=(width, height), dpi=_DPI)
    FigureCanvasAgg(picture)
    return picture


def saved(figure: Figure, colours: int = _COLOURS) -> bytes:
    """The figure as a small PNG, the same bytes for the same figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    picture = Image.open(buffer).convert("RGB")
    picture = picture.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    # Nothing about the program or the day is written: equal curves are equal bytes.
    small = io.BytesIO()
    picture.save(small, "png", optimize=True)
    return small.getvalue()


def _draw_steps(curve: Curve, ax: Axes) -> None:
    for step in curve.steps:
        low, high = step.interval
        ax.fill_between([low, high], 0, 1, color=_TURN, linewidth=0, zorder=0.5)
        if not step.gradual:
            ax.plot([step.vtime] * 2, [0, 1], color=_INK, linewidth=0.8, linestyle=(0, (4, 3)))


def _draw_points(curve: Curve, ax: Axes) -> None:
    points = [point for point in curve.points if point.trials]
    if not points:
        return
    at = [(point.at - curve.origin) / SECOND for point in points]
    low, high = zip(*(point.interval for point in points), strict=True)
    share = [point.p for point in points]
    together = zip(curve.band, curve.points, strict=True)
    least, most = zip(*(band for band, point in together if point.trials), strict=True)
    ax.fill_between(at, least, most, color=_BAND, linewidth=0, alpha=0.75, zorder=1)
    ax.vlines(at, low, high, color=_INK, linewidth=0.9, zorder=2)
    ax.plot(at, share, color=_INK, linewidth=1.0, zorder=3)
    sizes = [6 + 0.35 * point.trials for point in points]
    ax.scatter(at, share, sizes, color="white", edgecolors=_INK, linewidths=1.1, zorder=4)


def _draw_events(curve: Curve, ax: Axes) -> int:
    """Put faults and exits under the curve, as many as there is room for. The most important come
    first: exits, then what is near the turning point. Returns how many rows of labels it took.
    """
    left, right = ax.get_xlim()
    bounds = (curve.origin + round(second * SECOND) for second in (left, right))
    marks = _marks(curve.between(*bounds), right)
    turning = curve.turning_point
    centre = turning.vtime if turning else right
    marks.sort(key=lambda mark: (mark.is_fault, abs(mark.start - centre), mark.start, mark.label))
    box, pixel = ax.get_window_extent(), ax.figure.dpi / 72
    scale = box.width / (right - left)
    renderer = RendererAgg(1, 1, ax.figure.dpi)
    font = FontProperties(size=_TEXT - 1)
    taken: list[list[tuple[float, float]]] = [[] for _ in range(_ROWS)]
    unnamed = 0
    for mark in marks:
        width = renderer.get_text_width_height_descent(mark.label, font, False)[0] + _GAP * pixel
        begin, stop = (mark.start - left) * scale, (min(mark.end, right) - left) * scale
        flipped = stop + width > box.width
        begin, stop = (begin - width, stop) if flipped else (begin, stop + width)
        begin, stop = begin - _GAP * pixel, stop + _GAP * pixel
        row = next((r for r in range(_ROWS) if _is_free(taken[r], begin, stop)), None)
        if row is None or begin < 0:
            unnamed += 1
            ax.plot([mark.start], [0], marker="|", color=_INK, markersize=5, clip_on=False)
            continue
        taken[row].append((begin, stop))
        _draw_mark(ax, mark, -_ROW * (row + 0.75), flipped)
    rows = max((number + 1 for number, row in enumerate(taken) if row), default=0)
    if unnamed:
        events = "1 more event is" if unnamed == 1 else f"{unnamed} more events are"
        ax.annotate(f"{events} marked without a name", (1, 0), (0, -28), "axes fraction",
                    "offset points", ha="right", fontsize=_TEXT - 1.5, color="#555555")  # fmt: skip
    return rows


def _draw_mark(ax: Axes, mark: _Mark, y: float, flipped: bool) -> None:
    ax.plot([mark.start] * 2, [y, 1], color="#777777", linewidth=0.6, linestyle=":", zorder=0.8)
    end = min(mark.end, ax.get_xlim()[1])
    if end > mark.start:
        ax.plot([mark.start, end], [y, y], color="#8a8a8a", linewidth=2.2)
    ax.plot([mark.start], [y], color=_INK, marker="v" if mark.is_fault else "x", markersize=4.5)
    ax.annotate(
        mark.label, (mark.start if flipped else end, y), (-_GAP if flipped else _GAP, 0),
        textcoords="offset points", ha="right" if flipped else "left", va="center_baseline",
        fontsize=_TEXT - 1, parse_math=False,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
    )  # fmt: skip


def _is_free(taken: Iterable[tuple[float, float]], begin: float, stop: float) -> bool:
    return all(stop <= low or begin >= high for low, high in taken)


def _marks(events: EventSet, end: float) -> list[_Mark]:
    """Faults, from start to end, and exits of containers that no fault caused.

    A fault that is still active lasts to ``end``, seconds.
    """
    marks: list[_Mark] = []
    healed = {e.fields.get("id"): e.vtime for e in events.where(type="fault.end")}
    hit = set()  # targets of the faults so far
    for event in events.where(type=["fault.start", "container.exit"]):
        if event.type == "fault.start":
            target = event.fields.get("target", "")
            hit.add(target)
            label = f"{event.fields.get('type', 'fault')} {target}"
            until = healed.get(event.fields.get("id"), end)
            marks.append(_Mark(event.vtime, until, plain(label, _LABEL), True))
        elif event.fields.get("asked") != "1" or event.container not in hit:
            label = f"exit {event.container}{_manner(event)}"
            marks.append(_Mark(event.vtime, event.vtime, plain(label, _LABEL), False))
    return marks


def _manner(event: Event) -> str:
    signal = event.fields.get("signal", "0")
    return f" (signal {signal})" if signal != "0" else f" ({event.fields.get('code', '?')})"


def plain(text: str, width: int) -> str:
    """Untrusted text, with only characters that the font has."""
    shown = inert(text, width)
    return "".join(c if ord(c) < _LATIN or c in "…→" else "·" for c in shown).strip()
