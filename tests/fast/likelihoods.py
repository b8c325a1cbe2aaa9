"""Recordings without content, and pools that draw futures of known systems for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from coinfutures import Known, future
from recordings import ORIGIN, SECOND, event, head

from branchpoint.events.event import Event
from branchpoint.events.saying import said
from branchpoint.futures.allocation import Wanted
from branchpoint.futures.draws import Draw
from branchpoint.futures.recording import Recording
from branchpoint.timeline.directory import RecordingFiles

END = ORIGIN + 30 * SECOND


def exit_of(second: float, name: str = "db.1", **fields: str) -> Event:
    """An exit of a container."""
    fields = {"code": "1", "signal": "0"} | fields
    text = said("container.exit", fields)
    return event(second, text, type="container.exit", source="life", container=name, fields=fields)


def _no_machine() -> Any:
    raise AssertionError("a curve is looked at without a machine")


def recording(path: Path, events: list[Event]) -> Recording:
    """A recording of 30 seconds that can only be looked at; made when it does not exist yet."""
    if not path.exists():
        with RecordingFiles.create(path, head(end=END)) as files:
            files.events.add(events)
            files.save(head(end=END))
    return Recording(RecordingFiles.open(path, write=True), _no_machine)


class Drawer:
    """A pool of one worker."""

    count = 1

    def __init__(self, system: Known, stop_after: int = 10**9) -> None:
        self.system = system
        self.left = stop_after
        self.opened = 0
        self.jobs: list[Wanted] = []

    def run(self, jobs: Iterable[Wanted]) -> Iterator[Draw]:
        for job in jobs:
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            self.jobs.append(job)
            yield moved(future(self.system, Wanted(job.at - ORIGIN, job.seed)))

    @contextmanager
    def open(self) -> Iterator[Drawer]:
        self.opened += 1
        yield self


def moved(draw: Draw) -> Draw:
    """A draw of a system that began at power-on, changed to one that began at ORIGIN."""
    return msgspec.structs.replace(
        draw,
        at=draw.at + ORIGIN,
        end=draw.end + ORIGIN,
        failed_at=None if draw.failed_at is None else draw.failed_at + ORIGIN,
    )
