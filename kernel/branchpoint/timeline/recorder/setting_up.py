"""What set-up waits for, and when it waits in vain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from branchpoint.events.event import Event
from branchpoint.system import ContainerSpec

MOST_EXITS = 12
"""So many ends of a container in a row, all alike, will not be followed by a better one: with the
pauses before restarts they take 162 virtual s."""


@dataclass
class _Life:
    """What is known of one container."""

    to_complete: bool
    """Whether another container starts only when this one has ended well."""
    started: bool = False
    running: bool = False
    health: str = ""
    was_healthy: bool = False
    exits: int = 0
    """How often it ended, in a row, with ``status``."""
    status: tuple[int, int] = (0, 0)
    """The code and the signal of its last end."""

    @property
    def awaited(self) -> bool:
        """Whether set-up cannot be complete before something becomes of it."""
        ended_well = self.started and not self.running and not self.exits
        return not ended_well and (self.to_complete or bool(self.health and not self.was_healthy))

    @property
    def loops(self) -> bool:
        return self.awaited and self.exits >= MOST_EXITS

    @property
    def words(self) -> str:
        if self.exits:
            times = "once" if self.exits == 1 else f"{self.exits} times in a row"
            return f"it ended {times} with {self.ended}"
        return self.health or "it runs"

    @property
    def ended(self) -> str:
        code, signal = self.status
        return f"signal {signal}" if signal else f"code {code}"


class SettingUp:
    """Follows the events of a set-up.

    ``done`` is what ends it: the event of its completion, or of an error that the agent noticed;
    ``vain`` the name of a container that ends again and again while no other is waited for.
    """

    def __init__(self, containers: Sequence[ContainerSpec]) -> None:
        self.done: Event | None = None
        self.vain = ""
        ends = {d.name for c in containers for d in c.depends if d.condition == "completed"}
        self._lives = {c.name: _Life(to_complete=c.name in ends) for c in containers}

    def feed(self, events: Iterable[Event]) -> bool:
        """Take in what happened; whether set-up is over."""
        for event in events:
            if event.type in ("setup.complete", "error") and self.done is None:
                self.done = event
            elif event.container in self._lives:
                self._follow(self._lives[event.container], event)
        running = [life for life in self._lives.values() if life.awaited and life.started]
        looping = [name for name, life in self._lives.items() if life.loops]
        self.vain = looping[0] if looping and all(life.loops for life in running) else ""
        return self.done is not None or bool(self.vain)

    def _follow(self, life: _Life, event: Event) -> None:
        if event.type == "container.start":
            life.started = life.running = True
        elif event.type == "container.health":
            status = event.fields.get("status", "")
            life.health = "" if status == "none" else status
            life.was_healthy = life.was_healthy or life.health == "healthy"
        elif event.type == "container.exit":
            end = event.number("code"), event.number("signal")
            life.exits = life.exits + 1 if end == life.status else 1
            life.exits = life.exits if end != (0, 0) else 0
            life.status, life.running = end, False

    @property
    def waiting(self) -> str:
        """Which containers it waits for, and how they are."""
        named = [name for name, life in self._lives.items() if life.started and life.awaited]
        if not named:
            return ", ".join(name for name, life in self._lives.items() if not life.started)
        return ", ".join(f"{name} ({self._lives[name].words})" for name in named)

    @property
    def problem(self) -> str:
        """Why it cannot end well, once it waits in vain."""
        return f"container {self.vain}: {self._lives[self.vain].words}"
