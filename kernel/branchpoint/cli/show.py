"""The output of the commands: plain, aligned text that is safe for a terminal."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable
from typing import Any

from branchpoint.clock import SECOND
from branchpoint.errors import BranchpointError
from branchpoint.events import listing
from branchpoint.events.event import Event
from branchpoint.timeline.commands.process import Process
from branchpoint.timeline.containers import Container
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording

_LINE = 1 << 17  # characters of an event's text: more than the 64 KiB that the guest sends


def safe(text: str) -> str:
    """Untrusted text without control sequences that a terminal would execute."""
    return "\n".join(listing.inert(line, _LINE) for line in text.split("\n"))


def table(rows: Iterable[Iterable[str]]) -> str:
    cells = [[listing.inert(cell, _LINE) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def container_table(found: Iterable[Container]) -> str:
    rows = [(c.name, c.id, _state(c), c.address, c.image) for c in found]
    return table([("CONTAINER", "ID", "STATE", "ADDRESS", "IMAGE"), *rows])


def _state(container: Container) -> str:
    parts = [container.state, container.health]
    if container.state == "exited":
        parts.append(
            f"({container.exit_code})"
            if container.signal is None
            else f"(signal {container.signal})"
        )
    if container.restarts:
        parts.append(f"restarts: {container.restarts}")
    return " ".join(filter(None, parts))


def _vtime(event: Event) -> str:
    """Virtual seconds with 9 decimals (to the ns), so that columns align and nothing is lost."""
    ns = event.at - event.origin
    whole, rest = divmod(abs(ns), SECOND)
    return f"{'-' if ns < 0 else ''}{whole}.{rest:09d}"


def row(event: Event, width: int) -> str:
    _, who, what, _ = listing.row(event)
    text = listing.inert(event.text, _LINE)
    return f"{_vtime(event):>15}  {who:<{width}}  {what:<16}  {text}".rstrip()


def process(done: Process, began: Moment, ended: Moment, notes: list[str]) -> dict[str, Any]:
    """A command that was run, for programs."""
    return {
        "container": done.container,
        "began": began.id,
        "ended": ended.id,
        "exit_code": done.exit_code,
        "stdout": done.raw("out").decode(errors="backslashreplace"),
        "stderr": done.raw("err").decode(errors="backslashreplace"),
        "notes": notes,
    }


def record(event: Event) -> dict[str, Any]:
    return {
        "vtime": event.vtime,
        "at": event.at,
        "source": event.source,
        "container": event.container,
        "stream": event.stream,
        "type": event.type,
        "text": event.text,
        "fields": dict(event.fields),
    }


def failure(run: Recording) -> Moment | None:
    """The failure of the recording; None when nothing failed."""
    with contextlib.suppress(BranchpointError):
        return run.failure
    return None


def summary(run: Recording) -> str:
    """What a recording is, how it ended, and what to do next."""
    head, files = run.manifest, run.files
    failed = failure(run)
    suspect = head.containers[0].name if head.containers else ""
    if failed is not None:
        event = run.events.where(start=failed, end=failed).last
        if event is not None and event.container:
            suspect = event.container
    about = [
        ("recording", str(run.path)),
        ("system", head.title),
        ("length", f"{run.duration:.3f} virtual s"),
        ("ended", listing.inert(run.ending, _LINE)),
        ("seed", str(head.seed)),
        ("events", str(len(run.events))),
        ("on disk", f"{files.size / 1e6:.1f} MB, {files.size_without_pages / 1e6:.2f} MB without "
                    "checkpoints"),
        ("made with", str(head.engine)),
    ]  # fmt: skip
    path = shlex.quote(str(run.path))
    when, before = ("end", "end") if failed is None else ("failure", "failure-1s")
    begun = {event.container for event in run.events.where(type="container.start")}
    if suspect not in begun:
        suspect = next((each.name for each in head.containers if each.name in begun), "")
    if suspect:
        go_on = f"  branchpoint run {path} --at {before} -c {suspect} -- 'ps aux'"
    else:
        go_on = "  (no container had begun by the end: there is none to run commands in)"
    return "\n".join(
        [
            table(about),
            "",
            container_table(run.containers()),
            "",
            "Go on with:",
            f"  branchpoint events {path} --start {when}-5s",
            go_on,
            f"  in a notebook: run = bp.open({str(run.path.resolve())!r})",
        ]
    )
