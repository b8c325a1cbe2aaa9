"""The state of the containers at an instant, from the events up to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar, overload

from blake3 import blake3

from branchpoint.errors import ContainerError, near
from branchpoint.events import tables
from branchpoint.events.event import Columns, EventSet
from branchpoint.store import manifest


class _Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def service(self) -> str: ...


C = TypeVar("C", bound=_Named)


@dataclass(frozen=True)
class Container:
    """One container at one moment."""

    name: str
    service: str
    image: str
    address: str
    """Its IP addresses in all its networks, separated by commas."""
    state: str = "created"
    """created, running, paused or exited."""
    health: str = ""
    """starting, healthy or unhealthy; empty without a healthcheck."""
    exit_code: int | None = None
    """Exit code of the last exit; None when it never exited or a signal ended it."""
    signal: int | None = None
    """The signal that ended it last, or None."""
    restarts: int = 0
    version: str = ""
    """The service whose image it took over by an upgrade; empty as long as it is its own."""

    @property
    def status(self) -> str:
        """State, health, and how it last ended, in words."""
        words = [self.state, self.health]
        if self.state == "exited":
            words.append(f"signal {self.signal}" if self.signal else f"code {self.exit_code}")
        if self.restarts:
            words.append(f"{self.restarts} restart{'s' if self.restarts > 1 else ''}")
        if self.version not in ("", self.service):
            words.append(f"as {self.version}")
        return " ".join(filter(None, words))

    @property
    def id(self) -> str:
        """Twelve hex digits, the same in every run of the system."""
        return blake3(self.name.encode()).hexdigest()[:12]


class Containers(Sequence[Container]):
    """The containers at a moment; by position or by name."""

    def __init__(self, containers: Iterable[Container]) -> None:
        self._all = list(containers)

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Container]:
        return iter(self._all)

    @overload
    def __getitem__(self, which: int | str) -> Container: ...
    @overload
    def __getitem__(self, which: slice) -> list[Container]: ...
    def __getitem__(self, which: int | str | slice) -> Container | list[Container]:
        if isinstance(which, str):
            return find(self._all, which)
        return self._all[which]

    def _table(self) -> list[tuple[str, ...]]:
        rows = [(c.name, c.id, c.status, c.address, c.image) for c in self._all]
        return [("container", "id", "state", "address", "image"), *rows]

    def __repr__(self) -> str:
        table = self._table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        )

    def _repr_html_(self) -> str:
        titles, *rows = self._table()
        return tables.html(titles, rows)


def find(containers: Iterable[C], name: str) -> C:
    """The container of that name, or the only one of the service of that name.

    :raises ContainerError: when there is none, or more than one.
    """
    containers = list(containers)
    for container in containers:
        if container.name == name:
            return container
    same = [c for c in containers if c.service == name]
    if len(same) == 1:
        return same[0]
    if same:
        known = ", ".join(c.name for c in same)
        raise ContainerError(f"service {name!r} has {len(same)} containers", f"choose: {known}")
    raise ContainerError(f"no container {name!r}", near(name, (c.name for c in containers)))


def at_the_end_of(columns: Columns, declared: Sequence[manifest.ContainerFacts]) -> Containers:
    """The declared containers in the state that these events left them in."""
    found = {c.name: Container(c.name, c.service, c.image, c.address) for c in declared}
    for event in EventSet(columns).where(type="container.*"):
        container = found.get(event.container)
        if container is None:
            continue
        match event.type:
            case "container.start":
                container = replace(container, state="running", health="")
            case "container.exit":
                signal = event.number("signal")
                code = None if signal else event.number("code")
                container = replace(
                    container, state="exited", health="", exit_code=code, signal=signal or None
                )
            case "container.restart":
                container = replace(container, restarts=container.restarts + 1)
            case "container.version":
                container = replace(container, version=event.fields.get("version", ""))
            case "container.health":
                container = replace(container, health=event.fields.get("status", ""))
            case "container.pause":
                container = replace(container, state="paused")
            case "container.unpause":
                container = replace(container, state="running")
        found[container.name] = container
    return Containers(found.values())
