"""The worker processes of an exploration."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Pipe, wait
from typing import Self

from branchpoint import progress
from branchpoint.errors import MachineError
from branchpoint.futures.running import messages as packing
from branchpoint.futures.running.messages import Problem
from branchpoint.futures.running.process import WorkerProcess
from branchpoint.search.exploration import Exploration
from branchpoint.search.messages import Answer, Learn, Message, Run, Setup, receive, send
from branchpoint.search.strategy import Next
from branchpoint.search.stretches import Ran
from branchpoint.search.tree import Node
from branchpoint.timeline.failures import Failure

_TICK = 0.2  # wall seconds between two looks whether the work is still wanted


def setup_for(found: Exploration, failures: Sequence[Failure], memory: int) -> Setup:
    """What each worker is told first; ends of stretches may take ``memory`` bytes in it."""
    return Setup(
        str(found.path.resolve()),
        [packing.packed(each) for each in failures],
        found.head.signals,
        memory,
        list(sys.path),
    )


class Crew:
    """So many worker processes, each of which runs one stretch at a time."""

    def __init__(
        self, found: Exploration, failures: Sequence[Failure], count: int, memory: int
    ) -> None:
        """``memory``: bytes that ends of stretches may take, in all processes together."""
        self._setup = setup_for(found, failures, memory // count)
        self._length = found.head.length
        self._workers = [Member(number) for number in range(count)]

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            for worker in self._workers:
                worker.start(self._setup)
                undo.callback(worker.end)
            self._ending = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def run(
        self,
        choose: Callable[[int], Next | None],
        take: Callable[[int, Next, Ran], Node],
    ) -> None:
        """Keep all workers busy with what ``choose(worker)`` gives, until it gives None for each.

        ``take(worker, chosen, ran)`` makes a node of each stretch, in the order in which they come.

        :raises BranchpointError: when a worker cannot go on, or has died.
        """
        while True:
            for worker in self._workers:
                if worker.running is None and (chosen := choose(worker.number)) is not None:
                    worker.give(chosen, self._length)
            busy = {worker.link: worker for worker in self._workers if worker.running is not None}
            if not busy:
                return
            ready = wait(list(busy), _TICK)
            progress.tick()
            for worker in [worker for link, worker in busy.items() if link in ready]:
                chosen, ran = worker.answer()
                node = take(worker.number, chosen, ran)
                for each in self._workers:
                    each.send(Learn(node))


class Member:
    """One worker process of this computer, seen from here."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.running: Next | None = None
        """What it has to do."""

    def start(self, setup: Setup) -> None:
        self.link, theirs = Pipe()
        with theirs:
            self._process = WorkerProcess("branchpoint.search.worker", theirs.fileno())
        self.send(setup)

    def give(self, chosen: Next, length: int) -> None:
        self.running = chosen
        self.send(Run(chosen.parent, chosen.seed, length, chosen.ending))

    def send(self, message: Message) -> None:
        try:
            send(self.link, message)
        except OSError:
            raise self._died() from None

    def answer(self) -> tuple[Next, Ran]:
        """What became of the stretch that it was given."""
        assert self.running is not None
        match receive(self.link):
            case Answer(ran):
                chosen, self.running = self.running, None
                return chosen, ran
            case Problem() as problem:
                raise problem.error()
            case _:
                raise self._died()

    def _died(self) -> MachineError:
        return MachineError(
            f"worker process {self.number} has died{self._process.end()}",
            "explore again: it goes on with what is known",
        )

    def end(self) -> None:
        self.link.close()
        self._process.end()
