"""Checks names in queries: a misspelt container is an error, not an empty result."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from branchpoint.errors import BranchpointError, ContainerError, near
from branchpoint.events.event import Columns, EventSet
from branchpoint.events.queries import Except, Where, named
from branchpoint.events.types import TYPES


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def service(self) -> str: ...


def check(question: Any, containers: Iterable[_Named]) -> None:
    """Refuse a query, an event set or a failure that asks for an unknown container.

    :raises ContainerError: when no container has that name or matches that pattern.
    """
    known = list(dict.fromkeys(c.name for c in containers))
    for pattern in _patterns(question):
        if pattern and not any(named(pattern, is_container=True).match(name) for name in known):
            raise ContainerError(f"no container {pattern!r}", near(pattern, known))


def check_type(pattern: str, seen: Columns) -> None:
    """Refuse an unknown type of events, unless it is among those ``seen``; "exit" is short for
    "container.exit".

    :raises BranchpointError: when it is unknown; the hint has the most similar name.
    """
    there = [seen.names.known[code] for code in sorted(set(seen.type.tolist()))]
    known = list(dict.fromkeys([*TYPES, *there]))
    for full in (pattern, f"container.{pattern}"):
        if any(named(full, is_container=False).match(name) for name in known):
            return
    short = [name.removeprefix("container.") for name in known]
    raise BranchpointError(f"there are no events of type {pattern!r}", near(pattern, short))


def _patterns(question: Any) -> Iterator[str]:
    """The containers that a query asks for; those that it excludes may have any name."""
    if isinstance(question, EventSet):
        yield from _patterns(question.query)
    elif isinstance(question, Where):
        given = question.container
        yield from [given] if isinstance(given, str) else given or ()
    elif isinstance(question, tuple):
        for part in question:
            yield from _patterns(part)
    elif dataclasses.is_dataclass(question) and not isinstance(question, Except):
        container = getattr(question, "container", None)
        if isinstance(container, str):
            yield container
        for field in dataclasses.fields(question):
            yield from _patterns(getattr(question, field.name))
