"""An exploration on a ``dask.distributed`` cluster.

Each thread of a dask worker is one worker of the exploration, with a process as on one computer.
The recording of set-up is sent to each computer once, and with each stretch the nodes of the tree
that its worker does not know yet.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
from msgspec import Struct

from branchpoint import progress
from branchpoint.decoding import from_msgpack
from branchpoint.errors import BranchpointError, MachineError
from branchpoint.futures.running import parcels
from branchpoint.futures.running.computers import Computers
from branchpoint.search.crew import Crew, Member, setup_for
from branchpoint.search.exploration import BASE, HEAD, Exploration, Head
from branchpoint.search.messages import Learn, Setup
from branchpoint.search.strategy import Next
from branchpoint.search.stretches import MEMORY, Ran
from branchpoint.search.tree import Node
from branchpoint.timeline.failures import Failure

_LOOK = 1.0  # wall seconds between two looks who is there


def open_crew(
    found: Exploration, failures: Sequence[Failure], workers: int | str, memory: int
) -> Crew | ClusterCrew:
    """So many worker processes here, or those of the cluster whose scheduler has this address.

    ``memory``: bytes that ends of stretches may take in all processes together; 0: 1 GiB in each.
    """
    if isinstance(workers, str):
        return ClusterCrew(found, failures, workers, memory)
    return Crew(found, failures, workers, memory or workers * MEMORY)


class Place(Struct, frozen=True):
    """To a computer of the cluster: what is explored, and by which worker."""

    exploration: str
    """A name that no other call of :func:`~branchpoint.search.exploring.explore` has."""
    head: Head
    base: str
    """The digest of the recording of set-up, which is there."""
    setup: Setup
    worker: int


@dataclass
class _Worker:
    """A worker of the cluster, seen from here."""

    number: int
    address: str
    """Of its dask worker."""
    known: int = 0
    """How many nodes it knows."""
    job: Any = None
    """What it does now, as dask knows it."""
    running: Next | None = None


class ClusterCrew:
    """Runs stretches as :class:`~branchpoint.search.crew.Crew` does. Workers may come and go."""

    def __init__(
        self, found: Exploration, failures: Sequence[Failure], address: str, memory: int
    ) -> None:
        """``address`` is that of the cluster's scheduler; the rest is as for :func:`open_crew`.

        :raises BranchpointError: when it cannot be reached, or has no workers.
        """
        self._found = found
        self._computers = Computers(address)
        try:
            with found.open_base() as base:
                self._base = self._computers.send(base)
        except BaseException:
            self._computers.close()
            raise
        count = sum(self._computers.threads().values())
        self._setup = setup_for(found, failures, memory // max(count, 1) or MEMORY)
        self._name = uuid.uuid4().hex
        self._workers: list[_Worker] = []
        self._numbers = 0
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._again: list[Next] = []
        """What workers had to do that are gone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._computers.client.cancel([each.job for each in self._workers if each.job is not None])
        self._computers.tell(leave, self._name)
        self._computers.close()

    def run(
        self,
        choose: Callable[[int], Next | None],
        take: Callable[[int, Next, Ran], Node],
    ) -> None:
        """As :meth:`Crew.run`.

        :raises BranchpointError: when a worker cannot go on, or all have gone.
        """
        while True:
            self._look_around()
            for worker in self._workers:
                if worker.running is None:
                    worker.running = self._again.pop() if self._again else choose(worker.number)
                    if worker.running is not None:
                        self._give(worker)
            if not self._again and not any(each.running for each in self._workers):
                return
            self._take(take)

    def _look_around(self) -> None:
        """Note who has come and who has gone."""
        threads = self._computers.threads()
        for worker in [each for each in self._workers if each.address not in threads]:
            self._workers.remove(worker)
            if worker.running is not None:
                self._again.append(worker.running)
                self._computers.client.cancel([worker.job])
        there = {each.address for each in self._workers}
        for address, count in threads.items():
            for _ in range(count if address not in there else 0):
                self._workers.append(_Worker(self._numbers, address))
                self._numbers += 1

    def _give(self, worker: _Worker) -> None:
        """Let a worker run its stretch, and tell it what it needs to know for that."""
        place = Place(self._name, self._found.head, self._base, self._setup, worker.number)
        nodes = self._found.tree.nodes[worker.known :]
        data = msgspec.msgpack.encode(nodes)
        worker.job = self._computers.client.submit(
            run_stretch, place, worker.known, data, worker.running, self._found.head.length,
            pure=False, workers=[worker.address], allow_other_workers=False,
        )  # fmt: skip
        worker.known += len(nodes)
        worker.job.add_done_callback(self._done.put)

    def _take(self, take: Callable[[int, Next, Ran], Node]) -> None:
        """Take what is done, at least for a moment."""
        progress.tick()
        try:
            job = self._done.get(timeout=_LOOK)
        except queue.Empty:
            return
        worker = next((each for each in self._workers if each.job is job), None)
        if worker is None or worker.running is None or job.status == "cancelled":
            return  # it has gone
        if job.status != "finished":
            self._fail(worker, job)
            return
        try:
            ran = job.result(timeout=_LOOK)
        except TimeoutError:  # it is still on its way, or its worker has gone with it
            self._done.put(job)
            return
        if isinstance(ran, int):  # it has begun afresh
            worker.known = ran
            self._give(worker)
            return
        chosen, worker.running = worker.running, None
        take(worker.number, chosen, ran)

    def _fail(self, worker: _Worker, job: Any) -> None:
        error = job.exception()
        if isinstance(error, BranchpointError):
            raise error
        if worker.address in self._computers.threads():
            raise MachineError(f"a stretch could not be run at {worker.address}: {error}")


# -- what runs on the cluster


class _Here:
    """A worker on this computer."""

    def __init__(self, place: Place) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="branchpoint-")
        path = Path(self._folder.name)
        (path / HEAD).write_bytes(msgspec.json.encode(place.head))
        shutil.copytree(parcels.place("recording", place.base), path / BASE)
        self.known = 0
        self._member = Member(place.worker)
        self._member.start(msgspec.structs.replace(place.setup, exploration=str(path)))

    def learn(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._member.send(Learn(node))
        self.known += len(nodes)

    def run(self, chosen: Next, length: int) -> Ran:
        self._member.give(chosen, length)
        return self._member.answer()[1]

    def end(self) -> None:
        self._member.end()
        self._folder.cleanup()


_here: dict[tuple[str, int], _Here] = {}
"""The workers of this dask worker, by the exploration's name and their number."""


def run_stretch(place: Place, since: int, nodes: bytes, chosen: Next, length: int) -> Ran | int:
    """Run one stretch. The worker knew ``since`` nodes before; if it knows fewer, as it has begun
    afresh, the result is how many.
    """
    me = place.exploration, place.worker
    worker = _here.get(me)
    if worker is None:
        worker = _here[me] = _Here(place)
    if worker.known != since:
        return worker.known
    try:
        worker.learn(from_msgpack(nodes, list[Node]))
        return worker.run(chosen, length)
    except BaseException:
        _here.pop(me, None)  # the exploration may have ended meanwhile
        worker.end()
        raise


def leave(exploration: str) -> None:
    """End the workers that this dask worker has for an exploration."""
    for me in [each for each in list(_here) if each[0] == exploration]:
        _here.pop(me).end()
