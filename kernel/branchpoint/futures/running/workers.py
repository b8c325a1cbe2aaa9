"""Worker processes on this computer that run futures side by side."""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from branchpoint import progress
from branchpoint.clock import format_vtime
from branchpoint.errors import BranchpointError, MachineError
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import FutureSpec, Outcome, Shares
from branchpoint.futures.running.messages import Answer, Ask, Link, Problem, setup_for
from branchpoint.futures.running.process import WorkerProcess
from branchpoint.futures.running.waiting import Waiting
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import NOISE

_AHEAD = 1  # jobs that a worker has besides the one it runs, so that it never waits for us
_TRIES = 2  # of a job whose worker died
_TICK = 0.25  # wall seconds between updates of the progress that is shown


class Pool:
    """Worker processes, each with an emulator of its own, all cores by default.

    They only read the recording, so it may be open for writing here. They end with ``close``, or
    when this process ends in any way.
    """

    def __init__(
        self,
        run: Recording,
        failure: Failure,
        horizon: int,
        *,
        relative: bool = False,
        noise: tuple[int, int] | None = NOISE,
        workers: int | None = None,
    ) -> None:
        """``horizon`` is the absolute ns up to which futures run, or, ``relative``, the ns after
        their fork; ``noise`` the scheduling noise of seeded ones, ns; ``workers`` how many
        processes (None: one for each core that we may use).
        """
        if workers is not None and workers < 1:
            raise BranchpointError(
                f"workers={workers} must be at least 1", "leave it out for one per core"
            )
        self.setup = setup_for(run, failure, horizon, relative, noise)
        self._origin = run.origin
        self._count = workers or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []
        self._change = threading.Condition()
        self._round = _Round()
        """The round that free workers work for."""
        self._closed = False

    @property
    def count(self) -> int:
        """How many workers there are at most."""
        return self._count

    @property
    def pids(self) -> list[int]:
        """The processes that are there now."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def shares(self) -> Shares:
        """What the workers' wall time went into so far, added up."""
        total = Shares()
        for each in (worker.shares for worker in self._workers):
            total.rewind += each.rewind
            total.run += each.run
            total.rest += each.rest
            total.futures += each.futures
        return total

    # -- futures

    def run(self, jobs: Iterable[tuple[int, int]]) -> Iterator[Draw]:
        """Run the futures of these (fork in absolute ns, seed) and yield draws as they come.

        An iterator may be endless: a job is taken from it only when a worker will soon be free.
        When the caller stops early, the futures in flight are lost and nothing else.
        """
        made = (FutureSpec(at, seed) for at, seed in jobs)
        for outcome in self.outcomes(list(made) if isinstance(jobs, Sequence) else made):
            yield outcome.draw

    def outcomes(self, jobs: Iterable[FutureSpec]) -> Iterator[Outcome]:
        """As :meth:`run`, for jobs with all details; yields their complete outcomes.

        :raises BranchpointError: the error of a worker, or when a job ended its worker twice.
        """
        source = iter(jobs)
        enough = len(jobs) if isinstance(jobs, Sequence) else self._count * (1 + _AHEAD)
        this = _Round()
        with self._change:
            self._round = this
        try:
            while True:
                self._fill(this, source, enough)
                if not this.open:
                    return
                try:
                    found = this.results.get(timeout=_TICK)
                except queue.Empty:
                    progress.tick()
                    continue
                if isinstance(found, BaseException):
                    raise found
                this.open -= 1
                yield found
        finally:
            with self._change:
                self._round = _Round()

    def _fill(self, this: _Round, source: Iterator[FutureSpec], enough: int) -> None:
        """Keep so many jobs waiting that no worker has to wait for us."""
        if self._closed:
            raise BranchpointError("these workers were ended")
        self._workers = [worker for worker in self._workers if worker.is_alive()]
        while len(this.waiting) < enough and (job := next(source, None)) is not None:
            this.open += 1
            with self._change:
                this.waiting.add(job.at, _Given(job, this))
                self._change.notify_all()
        while len(self._workers) < min(self._count, this.open):
            worker = _Worker(self, f"branchpoint worker {len(self._workers)}")
            self._workers.append(worker)
            worker.start()

    # -- called by the threads of the workers

    def take(self, worker: _Worker) -> _Given | None:
        """A job for a worker. If there is none, a worker with nothing to do waits here for one.

        None: go on with the jobs that you have; if you have none, end.
        """
        with self._change:
            while not self._closed:
                if self._round.waiting:
                    taken = set().union(*(each.forks for each in self._workers))
                    return self._round.waiting.take(worker.forks, taken)
                if worker.running:
                    break
                self._change.wait()
        return None

    def again(self, given: _Given) -> None:
        """Put back a job that a worker could not do."""
        with self._change:
            given.round.waiting.add(given.job.at, given)
            self._change.notify_all()

    def fail(self, error: BaseException) -> None:
        """Tell whoever waits for results."""
        with self._change:
            self._round.results.put(error)

    def named(self, job: FutureSpec) -> str:
        """A job in words."""
        start = format_vtime(job.at - self._origin)
        return f"the recorded future of {start}" if job.seed is None else f"{start}~{job.seed}"

    # -- ending

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def close(self) -> None:
        """End the workers and their emulators. What they were doing is lost."""
        with self._change:
            self._closed = True
            self._round.results.put(BranchpointError("these workers were ended"))
            self._change.notify_all()
        for worker in self._workers:
            worker.end()
        for worker in self._workers:
            worker.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Round:
    """The jobs of one call of :meth:`Pool.outcomes`, and what came of them."""

    def __init__(self) -> None:
        self.waiting: Waiting[_Given] = Waiting()
        self.open = 0
        """Jobs taken from the caller and not answered yet."""
        self.results: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()


@dataclass(eq=False)
class _Given:
    """A job, the round that it belongs to, and how many workers died while they ran it."""

    job: FutureSpec
    round: _Round
    deaths: int = 0


class _Worker(threading.Thread):
    """A worker process, and the thread here that talks with it.

    No interrupt reaches this thread, so what was sent and received is always whole.
    """

    def __init__(self, pool: Pool, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.forks: set[int] = set()
        """The forks that it has been given, and so knows."""
        self.running: deque[_Given] = deque()
        """What the process has to do, the oldest first."""
        self.shares = Shares()
        self._pool = pool
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._ready = False
        """Whether the process has opened the recording."""
        self._false_starts = 0

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    def run(self) -> None:
        """Serve until the pool is closed; a process that dies is replaced."""
        try:
            while not self._pool.closed:
                self._live()
                self.forks.clear()
        except Exception as error:
            self._pool.fail(error)

    def _live(self) -> None:
        """One life of the process."""
        ours, theirs = socket.socketpair()
        last_words = ""
        with ours:
            with theirs:
                self._start(theirs.fileno())
            link = Link(ours)
            try:
                link.send(self._pool.setup)
                self._is_ready(link.receive())
                while self._exchange(link):
                    pass
            except OSError:
                pass  # it died: the socket is closed
            finally:
                last_words = self._stop()
        if not self._pool.closed:
            self._put_back(last_words)

    def _is_ready(self, message: object) -> None:
        if isinstance(message, Problem):
            raise message.error()
        if message is None:
            raise ConnectionError
        self._ready = True

    def _start(self, fd: int) -> None:
        with self._lock:
            if not self._pool.closed:
                self._ready = False
                self._process = WorkerProcess("branchpoint.futures.running.worker", fd)

    def _exchange(self, link: Link) -> bool:
        """Give it jobs, and take one answer. False when it is gone, or not needed any more."""
        while len(self.running) <= _AHEAD and (given := self._pool.take(self)):
            self.running.append(given)
            link.send(Ask(given.job))
        if not self.running:
            return False
        match link.receive():
            case Answer(outcome, shares):
                self.shares = shares
                given = self.running.popleft()
                given.round.results.put(outcome)
            case Problem() as problem:
                raise problem.error()
            case _:
                return False
        return True

    def _put_back(self, last_words: str) -> None:
        """The process died: its unfinished jobs are given out again, to any worker.

        :raises MachineError: when it did not even start, twice in a row.
        """
        self._false_starts = 0 if self._ready else self._false_starts + 1
        if self._false_starts == _TRIES:
            raise MachineError(f"worker processes do not start{last_words}")
        if self.running:
            self.running[0].deaths += 1
        for given in self.running:
            if given.deaths < _TRIES:
                self._pool.again(given)
            else:
                name = self._pool.named(given.job)
                given.round.results.put(
                    MachineError(
                        f"{given.deaths} worker processes died while they ran {name}{last_words}"
                    )
                )
        self.running.clear()

    def _stop(self) -> str:
        """End the process, and give its last words."""
        with self._lock:
            process, self._process = self._process, None
        return "" if process is None else process.end()

    def end(self) -> None:
        """End the process; when the pool is closed, for good."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
