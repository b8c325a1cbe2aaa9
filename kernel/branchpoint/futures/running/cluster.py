"""Futures on a ``dask.distributed`` cluster: many computers, each with workers of its own.

A dask worker runs as many futures at a time as it has threads, each in a process as on one
computer.
"""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Self

from branchpoint.errors import BranchpointError, MachineError
from branchpoint.futures.draws import Draw
from branchpoint.futures.running import parcels
from branchpoint.futures.running.computers import Computers
from branchpoint.futures.running.future import FutureSpec, Outcome
from branchpoint.futures.running.messages import Setup, setup_for, unpacked
from branchpoint.futures.running.waiting import Waiting
from branchpoint.futures.running.workers import Pool
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recorder.record import open_recording
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import NOISE

_LOOK = 1.0  # wall seconds between two looks who is there
_AHEAD = 1  # jobs that each thread of a worker has waiting


def open_pool(
    run: Recording,
    failure: Failure,
    horizon: int,
    *,
    relative: bool = False,
    noise: tuple[int, int] | None = NOISE,
    workers: int | str | None = None,
) -> Pool | Cluster:
    """Workers for the futures of a recording: so many processes here (None: one per core), or those
    of the cluster whose scheduler has this address. See :class:`Pool` for the rest.
    """
    if isinstance(workers, str):
        return Cluster(run, failure, horizon, relative=relative, noise=noise, address=workers)
    return Pool(run, failure, horizon, relative=relative, noise=noise, workers=workers)


class Cluster:
    """Runs futures as :class:`~branchpoint.futures.running.workers.Pool` does, on a cluster."""

    def __init__(
        self,
        run: Recording,
        failure: Failure,
        horizon: int,
        *,
        relative: bool,
        noise: tuple[int, int] | None,
        address: str,
    ) -> None:
        """``address`` is that of the cluster's scheduler, such as ``tcp://10.0.0.1:8786``; the
        rest is as for a pool.

        :raises BranchpointError: when it cannot be reached, or has no workers.
        """
        self._computers = Computers(address)
        self._closed = False
        self._setup = setup_for(run, failure, horizon, relative, noise)
        self._threads = self._computers.threads()
        self._forks: dict[str, set[int]] = {}
        try:
            self._recording = self._computers.send(run)
        except BaseException:
            self._computers.close()
            raise

    @property
    def count(self) -> int:
        """How many futures at a time."""
        return sum(self._threads.values())

    def run(self, jobs: Iterable[tuple[int, int]]) -> Iterator[Draw]:
        """As :meth:`Pool.run`."""
        for outcome in self.outcomes(FutureSpec(at, seed) for at, seed in jobs):
            yield outcome.draw

    def outcomes(self, jobs: Iterable[FutureSpec]) -> Iterator[Outcome]:
        """As :meth:`Pool.outcomes`. Workers may come and go meanwhile.

        :raises BranchpointError: when all have gone.
        """
        source = iter(jobs)
        done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        running: dict[Any, tuple[str, FutureSpec]] = {}
        waiting: Waiting[FutureSpec] = Waiting()
        try:
            while True:
                self._threads = self._computers.threads()
                while len(waiting) <= self.count * (1 + _AHEAD):
                    job = next(source, None)
                    if job is None:
                        break
                    waiting.add(job.at, job)
                self._hand_out(waiting, running, done)
                if not running and not waiting:
                    return
                try:
                    future = done.get(timeout=_LOOK)
                    outcome = self._outcome(future, running[future][1])
                except queue.Empty:
                    continue
                except TimeoutError:  # it is on its way, or is run again, as its worker has gone
                    done.put(future)
                    continue
                del running[future]
                yield outcome
        finally:
            self._computers.client.cancel(list(running))

    def _hand_out(
        self, waiting: Waiting[FutureSpec], running: dict[Any, tuple[str, FutureSpec]], done: Any
    ) -> None:
        """Give every worker as many jobs as it runs at a time, and some that wait there."""
        load = Counter(address for address, _ in running.values())
        for address, threads in self._threads.items():
            while waiting and load[address] < threads * (1 + _AHEAD):
                known = self._forks.setdefault(address, set())
                job = waiting.take(known, set().union(*self._forks.values()))
                future = self._computers.client.submit(
                    run_job, self._recording, self._setup, job, pure=False,
                    workers=[address], allow_other_workers=True,
                )  # fmt: skip
                running[future] = address, job
                load[address] += 1
                future.add_done_callback(done.put)

    def _outcome(self, future: Any, job: FutureSpec) -> Outcome:
        error = None if future.status == "finished" else future.exception()
        if error is None:
            found: Outcome = future.result(timeout=_LOOK)
            return found
        if isinstance(error, BranchpointError):
            raise error
        raise MachineError(f"the future {job.at}~{job.seed} could not be run: {error}") from error

    def close(self) -> None:
        """End our jobs on the cluster, and disconnect from it. The cluster itself goes on."""
        if not self._closed:
            self._closed = True
            self._computers.tell(end_pools, self._setup)
            self._computers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# -- what runs on the cluster

_pools: dict[int, tuple[Setup, Pool]] = {}
"""A pool of one process for each thread of this worker, by the thread's number."""


def run_job(recording: str, setup: Setup, job: FutureSpec) -> Outcome:
    """Run one future of a recording that was sent here, by its digest."""
    me = threading.get_ident()
    known, pool = _pools.get(me, (None, None))
    if pool is None or pool.closed or known != setup:
        if pool is not None:
            pool.close()
        path = parcels.place("recording", recording)
        with open_recording(path, Recording, write=False) as run:
            pool = Pool(
                run,
                unpacked(setup.failure),
                setup.horizon,
                relative=setup.relative,
                noise=setup.noise,
                workers=1,
            )
        _pools[me] = setup, pool
    (outcome,) = pool.outcomes([job])
    return outcome


def end_pools(setup: Setup) -> None:
    """End the processes that this worker has for such futures."""
    for known, pool in list(_pools.values()):
        if known == setup:
            pool.close()
