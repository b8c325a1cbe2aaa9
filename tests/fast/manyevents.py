"""A million events, made from those of a recording."""

from __future__ import annotations

import dataclasses

import numpy as np

from branchpoint.events.event import EventLog, EventSet


def many(events: EventSet, count: int = 1_000_000) -> EventSet:
    """``events`` repeated, each time later and with its own number in each text."""
    columns = events.columns
    span = int(columns.at[-1] - columns.at[0]) + 1_000_000
    log = EventLog()
    turn = 0
    while len(log) < count:
        texts = [f"{text} #{turn}" for text in columns.texts]
        at = columns.at + np.int64(turn * span)
        log.extend_columns(dataclasses.replace(columns, at=at, texts=texts))
        turn += 1
    return EventSet(log.columns(), origin=events.origin, moment_of=events.moment_of)
