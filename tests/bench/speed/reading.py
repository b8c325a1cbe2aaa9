"""How fast a recording's memory pages and events are written, and found again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from branchpoint.events.event import Event, EventLog, EventSet
from branchpoint.machine.pages import hash_pages
from branchpoint.store.pagestore import PageStore
from figures import Figure, at_most
from scale import Scale

_PAGES, _BATCH = 40_000, 2000
_EVENTS = 1_000_000
_ADD_BAR, _GET_BAR, _OPEN_BAR, _QUERY_BAR = 0.09, 1.2, 0.3, 0.3  # CPU seconds


def reading(scale: Scale, work: Path) -> list[Figure]:
    """On files and logs made for it, of the same size in a quick bench."""
    return _pages(work) + _events()


def _pages(work: Path) -> list[Figure]:
    content = np.zeros((_PAGES, 4096), np.uint8)
    content[:, :2048] = np.random.default_rng(1).integers(0, 256, (_PAGES, 2048), np.uint8)
    hashes = hash_pages(content)
    with TemporaryDirectory(dir=work) as path:
        directory = os.open(path, os.O_RDONLY)
        store = PageStore(directory, write=True)
        batches = [slice(at, at + _BATCH) for at in range(0, _PAGES, _BATCH)]
        adds = [_cpu(lambda at=at: store.add(hashes[at], content[at])) for at in batches]
        get = _cpu(lambda: store.get(hashes))
        again = _cpu(lambda: PageStore(directory, write=True))
        os.close(directory)
    note = "half of each page compressible"
    return [
        at_most(f"page store: {_BATCH} new pages", sum(adds) / len(adds), _ADD_BAR, "s", note),
        at_most(f"page store: {_PAGES} pages read", get, _GET_BAR, "s"),
        at_most(f"page store: opened with {_PAGES} pages", again, _OPEN_BAR, "s"),
    ]


def _events() -> list[Figure]:
    log = EventLog()
    log.extend(
        Event(
            at=n * 1000,
            source="container",
            container=f"web.{n % 7}",
            stream="out",
            text=f"request {n % 10_000} done",
        )
        for n in range(_EVENTS)
    )
    found = EventSet(log.columns())
    query = _cpu(lambda: len(found.where(container="web.3", text="77")))
    return [at_most(f"{_EVENTS} events: by container and text", query, _QUERY_BAR, "s")]


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
