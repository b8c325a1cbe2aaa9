"""A recording as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from branchpoint.clock import SECOND, format_vtime
from branchpoint.events import listing
from branchpoint.events.event import Event, EventSet
from branchpoint.futures import curves, plot
from branchpoint.sharing.report import picture
from branchpoint.sharing.report.html import WIDTH, Row, image, page, table, text
from branchpoint.sharing.report.lanes import Lanes
from branchpoint.timeline.capture.packets import Packets
from branchpoint.timeline.recording import Recording

_AROUND = 2 * SECOND  # ns of log shown before and after a moment
_ROWS = 60  # events shown around a moment
_MOMENTS = 24
_LANES = 60  # of the timeline; more are not drawn
_PACKETS = 300
_PAYLOAD = 48  # bytes


def report(run: Recording, packets: Mapping[str, Packets] | None = None) -> str:
    """The page: facts, timeline, curves, the log around each moment that matters, packets.

    ``packets`` are the captures to show, by their titles.
    """
    title = run.manifest.title or run.path.stem
    count = len(run.manifest.containers)
    parts = [
        f"<p>A recording of {text(title)} with Branchpoint: {count} containers. "
        "Times are virtual seconds since they were all up.</p>",
        table((), _facts(run)),
        f"<details><summary>Its machine</summary>{table((), _machine(run))}</details>",
        "<h2>Timeline</h2>",
        _timeline(run),
        "<h2>Containers at the end</h2>",
        table(
            ("container", "state", "address", "image"),
            [(c.name, _state(c), c.address, c.image) for c in run.containers()],
        ),
        *_curves(run),
        *_moments(run),
        *_captures(packets or {}),
    ]
    return page(title, "a recording", parts)


def _timeline(run: Recording) -> str:
    lanes = Lanes.of(run, run.events.columns)
    start, end = max(lanes.first, run.earliest), run.manifest.end
    failure = run.manifest.failure
    png = picture.png(lanes, start, end, failure=failure, most=_LANES)
    shown = escape(picture.legend(lanes, start, end, failure=failure))
    return image(png, f"containers as lanes: {shown}") + f"<p><small>{shown}</small></p>"


def _facts(run: Recording) -> list[Row]:
    head = run.manifest
    return [
        ("ended" if head.failure is None else "failure", run.ending),
        ("length", f"{run.duration:.3f} virtual s"),
        ("events", str(len(run.events))),
        ("seed", str(head.seed)),
        *(("warning", warning) for warning in run.warnings),
    ]


def _machine(run: Recording) -> list[Row]:
    """What another computer needs, to replay it."""
    head = run.manifest
    return [
        ("made with", str(head.engine)),
        ("memory", f"{head.machine.ram >> 20} MiB"),
        ("guest image", head.machine.guest_image),
        ("system image", head.machine.system_image),
        ("known states", str(len(run.files.digests))),
    ]


def _state(container: object) -> str:
    state, code = getattr(container, "state", ""), getattr(container, "exit_code", None)
    return f"{state} ({code})" if state == "exited" else str(state)


def _curves(run: Recording) -> Iterator[str]:
    for curve in curves.kept(run):
        yield f"<h2>How likely was it? {text(curve.question.failure)}</h2>"
        yield image(plot.png(curve)[0], plot.words(curve))
        rows = [
            (format_vtime(p.at - run.origin), f"{p.beginning.failed} of {p.beginning.counted}",
             f"{p.p:.2f}", "{:.2f} to {:.2f}".format(*p.interval), str(p.censored))
            for p in curve.points
        ]  # fmt: skip
        titles = ("vtime", "failed", "P", "95 % interval", "censored")
        yield f"<details><summary>Its numbers</summary>{table(titles, rows)}</details>"


def _moments(run: Recording) -> Iterator[str]:
    """The log around the failure, faults and exits."""
    start, end = run.at_ns(run.earliest), run.end
    at = run.events.columns.at
    known = run.events.where(type=["fault.start", "container.exit"], start=start, end=end)
    marked = known.positions.tolist()
    failure = run.manifest.failure
    if failure is not None and not start.at <= failure <= end.at:
        failure = None
    if failure is not None and failure not in at[known.positions]:
        instant = run.at_ns(failure)
        marked += run.events.where(start=instant, end=instant).positions[:1].tolist()
    # The failure and what is nearest to it matter most.
    centre = failure if failure is not None else end.at
    nearest = sorted(marked, key=lambda position: abs(int(at[position]) - centre))[:_MOMENTS]
    if nearest:
        yield "<h2>Moments</h2>"
    if len(nearest) < len(marked):
        yield f"<p>The {len(nearest)} of {len(marked)} that are nearest to the end.</p>"
    for position in sorted(nearest):
        event = run.events.columns.event(position, run.origin)
        what = "the failure: " if event.at == failure else ""
        name = f"{what}{event.container or event.source} {event.type} {event.text}"
        yield f"<h3>main@{format_vtime(event.at - run.origin)} <small>{text(name)}</small></h3>"
        yield _around(run, event, position)


def _around(run: Recording, event: Event, position: int) -> str:
    start = run.at_ns(max(run.earliest, event.at - _AROUND))
    end = run.at_ns(min(run.manifest.end, event.at + _AROUND))
    found: EventSet = run.events.where(start=start, end=end)
    number = int(found.positions.searchsorted(position))
    first = max(0, min(number - _ROWS // 2, len(found) - _ROWS))
    rows = [listing.row(each, WIDTH) for each in found[first : first + _ROWS]]
    shown = table(listing.TITLES, rows, here=number - first, code=3)
    hidden = len(found) - len(rows)
    return shown + (f"<p>… and {hidden} more within 2 s</p>" if hidden else "")


def _captures(packets: Mapping[str, Packets]) -> Iterator[str]:
    for name, capture in packets.items():
        yield f"<h2>Packets: {text(name)}</h2>"
        rows = [
            (f"{p.vtime:.6f}", _place(p.source, p.source_port),
             _place(p.destination, p.destination_port), p.protocol, p.flags, str(p.length),
             _ascii(p.payload))
            for p in capture[:_PACKETS]
        ]  # fmt: skip
        titles = ("vtime", "source", "destination", "protocol", "flags", "length", "payload")
        yield table(titles, rows, code=6)
        notes = [*capture.notes]
        if len(capture) > len(rows):
            notes.append(f"… and {len(capture) - len(rows)} more packets")
        yield from (f"<p>{text(note)}</p>" for note in notes)


def _place(address: str, port: int | None) -> str:
    return address if port is None else f"{address}:{port}"


def _ascii(payload: bytes) -> str:
    shown = "".join(chr(b) if 32 <= b < 127 else "·" for b in payload[:_PAYLOAD])
    return shown + ("…" if len(payload) > _PAYLOAD else "")
