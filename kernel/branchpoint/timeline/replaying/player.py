"""An emulator that stands somewhere in a history."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from branchpoint.guest import wire
from branchpoint.guest.mailbox import Mailbox
from branchpoint.machine.computer import Computer
from branchpoint.machine.state import State
from branchpoint.timeline.replaying.history import History, Point, Start


class Player:
    """One computer and the place in a history at which it is; None when it was just started."""

    def __init__(self, computer: Computer) -> None:
        self.computer = computer
        self.mailbox = Mailbox(self.computer)
        self._history: weakref.ref[History] | None = None
        self.place = Point(0, 0)
        self.since: Start | None = None
        """The state that it restored last."""

    @property
    def history(self) -> History | None:
        """The history that it is in; None also when nobody else uses that any more."""
        return self._history() if self._history else None

    @history.setter
    def history(self, history: History | None) -> None:
        self._history = weakref.ref(history) if history is not None else None

    def restore(
        self, history: History, place: Point, state: State, what: str = "state in memory"
    ) -> None:
        """Become the machine at ``place`` of ``history``, by restoring its ``state``.

        ``what`` says in errors where that state came from.
        """
        self.history = None
        self.computer.restore(state)
        self.history, self.place = history, place
        self.since = Start(what, place.at)
        self.mailbox.skip()

    def take_inputs(self) -> None:
        """Give the machine the inputs that are due at this very instant."""
        assert self.history is not None
        while self.place.count < len(self.history.inputs):
            if self.history.inputs[self.place.count].at != self.place.at:
                return
            self._take_input()

    def _take_input(self) -> None:
        assert self.history is not None
        try:
            self.mailbox.send(self.history.inputs[self.place.count].data)
        except BaseException:
            self.close()  # half an input may be in there
            raise
        self.place = Point(self.place.at, self.place.count + 1)

    def run_to(self, instant: int, step: int = 0) -> None:
        """Run to ``instant`` (ns), before any input due then; no input may be due on the way.

        With ``step`` (ns), only to the first multiple of it at which the guest has said something.
        A slow processor may have begun an instruction just before ``instant``, which ends after it.

        :raises GuestEnded: when the guest has ended the machine before; ``place`` is where.
        """
        self.take_inputs()
        try:
            self.computer.run_to(max(instant, self.computer.now), step)
        finally:  # an interrupt is raised when it has arrived there
            arrived = min(self.computer.now, instant)
            if arrived > self.place.at:
                self.place = Point(arrived, self.place.count)

    def replay_to(
        self, goal: Point, hear: Callable[[list[wire.Record]], None] | None = None
    ) -> None:
        """Go through what is already known of the history, up to ``goal``.

        ``hear`` is given what the guest says on the way.
        """
        assert self.history is not None
        step = wire.DRAIN if hear else 0
        while self.place.at < goal.at:
            self.run_to(min(goal.at, self.next_input()), step)
            if hear is not None:
                hear(self.mailbox.drain())
        while self.place.count < goal.count:
            self._take_input()

    def next_input(self) -> int:
        """The instant of the first input later than now; far away when there is none."""
        assert self.history is not None
        for due in self.history.inputs[self.place.count :]:
            if due.at > self.place.at:
                return due.at
        return 2**62

    @property
    def alive(self) -> bool:
        return not self.computer.closed

    def close(self) -> None:
        self.computer.close()
