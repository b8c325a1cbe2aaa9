"""The timeline: a lane for each container with its events, to zoom in and to choose moments.

The browser gets a summary of the visible stretch, one entry per pixel column, so its size does not
depend on the number of events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events import tables
from branchpoint.events.listing import TITLES, inert, name
from branchpoint.futures import curves
from branchpoint.futures.curve import Curve
from branchpoint.sharing.report.lanes import MOST_COLUMNS, Lanes, told
from branchpoint.sharing.report.processor import Processor
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.schedule import Schedule, schedule
from branchpoint.views.log import LogView
from branchpoint.views.view import View, bundle

if TYPE_CHECKING:
    from branchpoint.events.event import EventSet

_COLUMNS = 800  # of the first picture, before the browser has told its width
_LEAST = 1000  # shortest visible stretch, in ns
_MOST_CURVES = 6
_MOST_POINTS = 500  # of a curve
_MOST_ROWS = 20  # of the static view
_WIDTH = 300  # characters of a text in the static view
_FOLLOWED = 10 * SECOND  # longest stretch of which a schedule is shown
_EVERY = 0.3  # wall seconds between two updates while a branch runs


class TimelineView(View):
    """A timeline, made by ``run.timeline()`` or ``branch.timeline()``.

    ``view.moment`` is the chosen moment, ``view.log`` a log explorer of the visible stretch.
    ``view.show_schedule()`` adds who has the processor, as the button "Who ran" does.
    """

    kind = "timeline"
    _esm = bundle("timeline.js")
    state = traitlets.Dict().tag(sync=True)
    picture = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Dict().tag(sync=True)

    def __init__(self, subject: Recording | Branch, *, earlier: bool = False) -> None:
        self._subject = subject
        self._run: Recording = subject.run if isinstance(subject, Branch) else subject
        self._moment: Moment | None = None
        self._log: LogView | None = None
        self._schedule: Schedule | None = None
        self._processor: Processor | None = None
        self._count = _COLUMNS
        self._earlier = earlier
        self._take_curves()
        self._take()
        self._stretch = self._span
        super().__init__()
        self._say()
        self._draw()
        if isinstance(subject, Branch):
            self._follow(subject.end._history, self._grew, _EVERY)

    # -- for Python

    @property
    def moment(self) -> Moment | None:
        """The moment that was chosen last; None when nothing was chosen."""
        return self._moment

    @property
    def log(self) -> LogView:
        """A log explorer that shows the events of the visible stretch. A row that is chosen there
        is also chosen here.
        """
        if self._log is None or self._log.comm is None:
            self._log = LogView(self._events)
            self._log.when_chosen(self._chosen_in_log)
            self._filter_log()
        return self._log

    @property
    def window(self) -> tuple[float, float]:
        """Start and end of the visible stretch, in virtual seconds."""
        start, end = self._stretch
        return (start - self._run.origin) / SECOND, (end - self._run.origin) / SECOND

    def zoom(self, start: Any = None, end: Any = None) -> TimelineView:
        """Show the stretch between two instants (virtual seconds, events, moments); without an
        instant, it begins or ends where the timeline does.
        """
        first = self._events._instant(start) if start is not None else self._span[0]
        last = self._events._instant(end) if end is not None else self._span[1]
        assert first is not None and last is not None
        self._zoom(first, last)
        return self

    def select(self, instant: Any) -> TimelineView:
        """Choose a moment, given as virtual seconds, an event or a moment."""
        at = self._events._instant(instant)
        assert at is not None
        self._choose(at)
        return self

    @property
    def schedule(self) -> Schedule | None:
        """The schedule that is shown; None without one."""
        return self._schedule

    def show_schedule(self) -> TimelineView:
        """Show which container has the processor in the visible stretch, as a tint of its lane.

        The stretch is run once more for it, see :meth:`Recording.schedule
        <branchpoint.Recording.schedule>`.

        :raises BranchpointError: when the visible stretch is longer than 10 virtual seconds.
        """
        first, last = self._stretch
        if last - first > _FOLLOWED:
            raise BranchpointError(
                f"who ran is shown of at most {_FOLLOWED // SECOND} virtual s at once, and "
                f"{(last - first) / SECOND:.3f} s are visible",
                "zoom in first",
            )
        start, end = (self._subject.end._at(at) for at in (first, last))
        self._schedule = schedule(start, end)
        self._processor = Processor(self._lanes, self._schedule)
        self._draw()
        return self

    # -- what it shows

    def _take(self) -> None:
        """Read the timeline as it is now."""
        run = self._run
        self._end = self._subject.end.at
        self._events = self._subject.events
        self._lanes = Lanes.of(run, self._events.columns)
        self._span = (max(self._lanes.first, run.earliest), self._end)

    def _take_curves(self) -> None:
        """Find the curves to show above the lanes, those with the most futures first."""
        found: list[Curve] = []
        self._more = False
        if not isinstance(self._subject, Branch):
            found, every = curves.asked(self._run), curves.known(self._run)
            self._more = len(every) > len(found)
            found = every if self._earlier else found
        self._curves = sorted(found, key=lambda curve: -len(curve.draws))

    def _say(self) -> None:
        """Send what does not depend on the visible stretch."""
        origin, failure = self._run.origin, self._failure
        branch = self._subject if isinstance(self._subject, Branch) else None
        self.state = {
            "lanes": self._lanes.names,
            "span": [self._span[0] - origin, self._span[1] - origin],
            "events": len(self._events),
            "failure": failure - origin if failure is not None else None,
            "fork": branch.start.at - origin if branch is not None else None,
            "earlier": self._earlier,
            "more": self._more,
            "curves": [_points(curve) for curve in self._curves[:_MOST_CURVES]],
        }

    @property
    def _failure(self) -> int | None:
        """Absolute ns of the failure, which is marked in all lanes; None without one."""
        return None if isinstance(self._subject, Branch) else self._run.manifest.failure

    def _draw(self) -> None:
        """Send a picture of the visible stretch."""
        (start, end), count, lanes = self._stretch, self._count, self._lanes
        lines, errors = lanes.lines(start, end, count)
        kept = np.array(self._run.files.checkpoints, np.int64)
        kept = kept[(kept >= start) & (kept <= min(end, self._end))]
        origin = self._run.origin
        ran, turns = b"", list[list[Any]]()
        if self._processor is not None:
            ran = self._processor.shares(start, end, count)
            turns = [list(span) for span in self._processor.turns(start, end, count)]
        self.picture = {
            "start": start - origin,
            "end": end - origin,
            "columns": count,
            "lines": lines,
            "errors": errors,
            "marks": [list(mark) for mark in lanes.marks(start, end, count)],
            "states": [list(span) for span in lanes.states(start, end, count)],
            "faults": [list(span) for span in lanes.faults(start, end, count)],
            "ran": ran,
            "turns": turns,
            "checkpoints": np.unique((kept - start) * count // max(end - start, 1)).tolist(),
        }

    def _zoom(self, first: int, last: int) -> None:
        low, high = self._span
        first, last = sorted((first, last))
        length = max(last - first, _LEAST)
        first = max(min(first, high - length), low)
        self._stretch = first, max(min(first + length, high), first + 1)
        self._draw()
        self._filter_log()

    def _filter_log(self) -> None:
        if self._log is None or self._log.comm is None:
            return
        start, end = (format_vtime(at - self._run.origin) for at in self._stretch)
        whole = self._stretch == self._span
        self._log.narrow("" if whole else start, "" if whole else end)

    def _choose(self, at: int) -> None:
        self._show_chosen(at)
        self._tell_chosen()
        if self._log is not None and self._moment is not None:
            self._log.reveal(self._moment)

    def _show_chosen(self, at: int) -> None:
        moment = self._subject.end._at(min(max(at, self._run.earliest), self._end))
        self._moment = moment
        vtime = format_vtime(moment.at - self._run.origin)
        self.chosen = {"at": moment.at - self._run.origin, "vtime": vtime, "id": moment.id}

    def _chosen_in_log(self) -> None:
        assert self._log is not None
        event = self._log.event
        if event is not None:
            self._show_chosen(event.at)
            self.set_trait("value", self._moment)  # the log has told everybody else

    def _grew(self) -> None:
        """Time has passed in the branch."""
        whole = self._stretch == self._span
        self._take()
        if self._schedule is not None:  # its lanes may be others now
            self._processor = Processor(self._lanes, self._schedule)
        if whole:
            self._stretch = self._span
        self._say()
        self._draw()

    # -- requests of the browser

    def _on_window(self, message: dict[str, Any]) -> None:
        self._count = min(max(int(message["columns"]), 1), MOST_COLUMNS)
        origin = self._run.origin
        self._zoom(int(message["start"]) + origin, int(message["end"]) + origin)

    def _on_earlier(self, message: dict[str, Any]) -> None:
        self._earlier = bool(message["earlier"])
        self._take_curves()
        self._say()

    def _on_schedule(self, _: dict[str, Any]) -> None:
        self.show_schedule()

    def _on_choose(self, message: dict[str, Any]) -> None:
        self._choose(int(message["at"]) + self._run.origin)

    def _on_next(self, message: dict[str, Any]) -> None:
        at = int(message["at"]) + self._run.origin
        event = self._lanes.next_mark(at, forward=bool(message["forward"]))
        if event is not None:
            self._choose(event.at)

    # -- static

    def _notable(self) -> EventSet:
        """The events that the static view lists."""
        shown = ["container.exit", "container.oom", "container.restart", "fault.*"]
        return self._events.where(type=shown)

    def _fallback_html(self) -> str:
        from branchpoint.sharing.report import picture

        start, end = self.window
        marked: dict[str, Any] = {"failure": self._failure, "processor": self._processor}
        curve = next(iter(self._curves), None)
        png = picture.png(self._lanes, *self._stretch, curve=curve, **marked)
        words = f"Timeline from {start:.3f} s to {end:.3f} s of virtual time"
        events = self._notable()
        rows = [
            (f"{e.vtime:.6f}", name(e.container, 40), name(e.type, 30), inert(e.text, _WIDTH))
            for e in events[:_MOST_ROWS]
        ]
        more = tables.note(f"{len(events) - _MOST_ROWS} more") if len(events) > _MOST_ROWS else ""
        table = tables.html(TITLES, rows) if rows else ""
        legend = tables.note(picture.legend(self._lanes, *self._stretch, **marked))
        return tables.image(png, words, picture.WIDTH) + legend + table + more

    def __repr__(self) -> str:
        start, end = self.window
        events = self._notable()
        head = f"{start:.3f} s to {end:.3f} s, {len(self._lanes.names) - 1} containers"
        rows = [f"  {told(event)}" for event in events[:_MOST_ROWS]]
        left = len(events) - _MOST_ROWS
        more = [f"  … {left} more"] if left > 0 else []
        return "\n".join([head, *rows, *more])


def _points(curve: Curve) -> dict[str, Any]:
    points = [p for p in curve.points if p.trials][:_MOST_POINTS]
    return {
        "failure": curve.question.failure[:120],
        "points": [
            [p.at - curve.origin, p.p, *p.interval, p.beginning.failed, p.beginning.counted]
            for p in points
        ],
    }
