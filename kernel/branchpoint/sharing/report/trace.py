"""A recording as a trace in Chrome's format, for Perfetto (and chrome://tracing).

Each container is a track, with its lives as slices and its lines as instants; each fault has a
track of its own, and counters show how many lines were written and how likely a failure was. Times
are microseconds of virtual time, and each event also tells its vtime and its moment. Perfetto drops
everything before 0, so lines of the set-up are left out, and what was going on at 0 begins there.
Of a schedule, each container is a process of its own, with a track for each thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from branchpoint.clock import SECOND, format_vtime
from branchpoint.events.listing import inert
from branchpoint.futures import curves
from branchpoint.sharing.report.occurrences import faults, lives
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.schedule import Schedule

_TEXT = 1000  # characters of a line
_NAME = 120  # characters of a name, which is all that is seen at first
_SYSTEM = 1  # the number of the process that has all but threads
_OTHERS = ("kernel", "agent", "process", "fault")
_BIN = SECOND // 4  # ns over which lines are counted

Entry = dict[str, Any]


def trace(run: Recording, schedule: Schedule | None = None) -> Entry:
    """The trace of a recording, to be written as JSON, with who had the processor in a stretch."""
    names = [*(container.name for container in run.manifest.containers), *_OTHERS]
    # A thread with the number of its process would be its main thread, but no container is that.
    tracks = {name: number for number, name in enumerate(names, _SYSTEM + 1)}
    title = inert(run.manifest.title or run.path.name, _NAME)
    entries: list[Entry] = [_meta("process_name", 0, name=title)]
    for name, number in tracks.items():
        entries.append(_meta("thread_name", number, name=name))
        entries.append(_meta("thread_sort_index", number, sort_index=number))
    timed = [
        _entry(run, "i", run.origin, "vtime 0", tid=tracks["agent"], s="t", cat="time"),
        *_lives(run, tracks),
        *_faults(run),
        *_lines(run, tracks),
        *_rates(run),
        *_chances(run),
    ]
    if schedule is not None:
        for entry in schedule.entries(_SYSTEM + 1):
            (timed if "ts" in entry else entries).append(entry)
    entries += sorted((e for e in timed if e["ts"] >= 0), key=lambda entry: entry["ts"])
    about = {
        "system": title,
        "seed": run.manifest.seed,
        "left out": "what was said during set-up, before vtime 0",
        "made with": str(run.manifest.engine),
    }
    return {"traceEvents": entries, "displayTimeUnit": "ms", "otherData": about}


def _meta(kind: str, track: int, **args: Any) -> Entry:
    return {"ph": "M", "pid": _SYSTEM, "tid": track, "name": kind, "args": args}


def _entry(run: Recording, kind: str, at: int, name: str, **more: Any) -> Entry:
    vtime = format_vtime(at - run.origin)
    args = {"vtime": vtime, **more.pop("args", {})}
    if run.earliest <= at <= run.manifest.end:
        args["moment"] = f"main@{vtime}"
    return {"ph": kind, "pid": _SYSTEM, "ts": _ts(run, at), "name": inert(name, _NAME), **more,
            "args": args}  # fmt: skip


def _ts(run: Recording, at: int) -> float:
    """Microseconds since vtime 0; the format has no smaller unit, so with a fraction."""
    return (at - run.origin) / 1000


def _track(tracks: dict[str, int], name: str, source: str) -> int:
    return tracks.get(name) or tracks.get(source) or tracks["agent"]


def _lives(run: Recording, tracks: dict[str, int]) -> Iterator[Entry]:
    for life in lives(run):
        how = {"ended": inert(life.ended.text, _TEXT)} if life.ended else {}
        start = max(life.start, run.origin)
        track, length = _track(tracks, life.who, "agent"), (life.end - start) / 1000
        if length < 0:
            continue
        how["started"] = format_vtime(life.start - run.origin)
        yield _entry(run, "X", start, "running", tid=track, dur=length, cat="life", args=how)


def _faults(run: Recording) -> Iterator[Entry]:
    for number, fault in enumerate(faults(run), 1):
        name = f"{fault.what} {fault.who}".strip()
        # With an id that is not local, it would not be shown as part of the system's process.
        place = {"id2": {"local": hex(number)}, "cat": "fault", "tid": 0}
        ends = {"ends": format_vtime(fault.end - run.origin)}
        yield _entry(run, "b", max(fault.start, run.origin), name, **place, args=ends)
        # Arguments at the end would replace those of the beginning.
        yield _entry(run, "e", fault.end, name, **place) | {"args": {}}


def _lines(run: Recording, tracks: dict[str, int]) -> Iterator[Entry]:
    for event in run.events:
        if event.type in ("container.start", "fault.start", "fault.end"):
            continue
        text = inert(event.text, _TEXT)
        is_line = event.type == "log"
        name = text if is_line else f"{event.type} {text}".strip()
        args = {"text": text, **({"stream": event.stream} if event.stream else {})}
        kind = event.source if is_line else event.type
        track = _track(tracks, event.container, event.source)
        yield _entry(run, "i", event.at, name, tid=track, s="t", cat=inert(kind, _NAME), args=args)


def _rates(run: Recording) -> Iterator[Entry]:
    """How many lines a second each container wrote."""
    lines: dict[str, Counter[int]] = {}
    for event in run.events.where(type="log"):
        lines.setdefault(event.container, Counter())[(event.at - run.origin) // _BIN] += 1
    for container in run.manifest.containers:
        counts = lines.get(container.name, Counter())
        for place in sorted({*counts, *(place + 1 for place in counts)}):
            value = counts[place] * SECOND / _BIN
            yield _counter(run, run.origin + place * _BIN, container.name, "lines/s", value)


def _chances(run: Recording) -> Iterator[Entry]:
    for curve in curves.kept(run):
        for point in curve.points:
            if point.trials:
                name, chance = f"P({curve.question.failure})", round(point.p, 4)
                yield _counter(run, point.at, name, "from here", chance)


def _counter(run: Recording, at: int, name: str, what: str, value: float) -> Entry:
    """One value; the counter is shown as its name followed by what is counted."""
    return {"ph": "C", "pid": _SYSTEM, "tid": 0, "ts": _ts(run, at), "name": inert(name, _NAME),
            "args": {what: value}}  # fmt: skip
