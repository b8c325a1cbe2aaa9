"""Who had the processor, as a picture needs it: by lane and by column of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from branchpoint.sharing.report.lanes import GUEST, Lanes, Span
from branchpoint.timeline.schedule import Schedule

_MOST_SPANS = 1000  # in a picture


class Processor:
    """A schedule, by the lanes of a timeline. Instants are absolute ns."""

    def __init__(self, lanes: Lanes, schedule: Schedule) -> None:
        numbers = {name: lane for lane, name in enumerate(lanes.names)}
        guest = numbers[GUEST]
        self._slices = list(schedule)
        self._lanes = len(lanes.names)
        # Only here is it read slice by slice: a picture is drawn anew at each zoom.
        self._lane = np.array([numbers.get(s.container, guest) for s in self._slices], np.int64)
        self._start = np.array([s.start for s in self._slices], np.int64)
        self._end = np.array([s.end for s in self._slices], np.int64)
        mine = {lane: self._lane == lane for lane in np.unique(self._lane).tolist()}
        self._used = {lane: _used(self._start[of], self._end[of]) for lane, of in mine.items()}

    def shares(self, start: int, end: int, count: int) -> bytes:
        """For how much of each of ``count`` columns each lane had the processor: a byte, 0 to 255.
        What had it at all is never 0.
        """
        edges = np.linspace(start, end, count + 1)
        shares = np.zeros((self._lanes, count))
        for lane, (corners, used) in self._used.items():
            shares[lane] = np.diff(np.interp(edges, corners, used)) / np.diff(edges)
        return np.ceil(np.clip(shares, 0, 1) * 255).astype(np.uint8).tobytes()

    def turns(self, start: int, end: int, count: int) -> list[Span]:
        """Each turn that is wider than a column, the longest ones when there are too many."""
        column = (end - start) / count
        seen = (self._end > start) & (self._start < end) & (self._end - self._start > column)
        found = np.flatnonzero(seen)
        longest = np.argsort(self._start[found] - self._end[found], kind="stable")[:_MOST_SPANS]
        spans = []
        for number in np.sort(found[longest]).tolist():
            turn = self._slices[number]
            first, last = ((at - start) / column for at in (turn.start, turn.end))
            words = f"{turn.command} (thread {turn.thread}) for {turn.length / 1e6:.3f} ms"
            lane = int(self._lane[number])
            spans.append(Span(lane, max(first, 0.0), min(last, float(count)), words))
        return spans


def _used(
    starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instants, and how long (ns) it was used before each, for stretches in order that do not
    overlap; in between, that grows evenly.
    """
    until = np.cumsum(ends - starts)
    corners = np.stack([starts, ends], axis=1).ravel()
    return corners, np.stack([until - (ends - starts), until], axis=1).ravel()
