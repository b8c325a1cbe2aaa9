"""Long operations that outlive the cell, the tab and the page that began them.

``jobs.start(lambda: run.likelihood(crash))`` runs in the background; in a notebook every cell
that takes long is a job too. ``jobs`` lists them, ``jobs.attach(n)`` follows one to its end from
any cell and returns its result, and ``jobs.cancel(n)`` stops it.
"""

from __future__ import annotations

import contextvars
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from html import escape
from typing import Any, Literal

from branchpoint import progress
from branchpoint.errors import BranchpointError

State = Literal["running", "done", "failed", "stopped"]

_KEPT = 20  # ended jobs, with their results
_LOOK = 0.2  # wall seconds between two looks at a job that is followed

Screen = Callable[[], None]


class Job:
    """One long operation: a call in the background, or a cell that takes long."""

    def __init__(self, number: int, name: str, background: bool, began: float) -> None:
        self.number = number
        self.name = name
        self.background = background
        self.state: State = "running"
        self.thread = threading.get_ident()
        self.stop = threading.Event()
        self.cell = ""
        """The id of its notebook cell, for the code that owns the screen; "" if it has none."""
        self.request = ""
        """The id of the message that asked to run that cell."""
        self._began = began
        self._took: float | None = None
        self._value: Any = None
        self._error: BaseException | None = None
        self._ended = threading.Event()

    @property
    def running(self) -> bool:
        """Whether it is still going on."""
        return self.state == "running"

    @property
    def elapsed(self) -> float:
        """Wall seconds since it began or, once it has ended, that it took."""
        return time.monotonic() - self._began if self._took is None else self._took

    @property
    def task(self) -> progress.Task | None:
        """Its progress, or None when that is not known."""
        return progress.current(self.thread) if self.running else None

    def end(self, value: Any, error: BaseException | None) -> None:
        """Store its result, or the error that ended it."""
        self._took = self.elapsed
        self._value, self._error = value, error
        # Stop in an async cell is a CancelledError, whose class depends on what awaits.
        stopped = isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError"
        if stopped or (error is None and self.stop.is_set()):
            self.state = "stopped"
        else:
            self.state = "failed" if error is not None else "done"
        self._ended.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for its end, at most ``seconds`` of wall time; return whether it has ended."""
        return self._ended.wait(seconds)

    def result(self) -> Any:
        """Wait for its end and return its result; for a stopped job, its partial result.

        :raises BranchpointError: when it was stopped and has no partial result; an error that
            ended it is raised again.
        """
        self.wait()
        if self.state == "stopped" and self._value is None:
            raise BranchpointError(
                f"job {self.number} was stopped: {self.name}",
                "what it did until then is kept; start it again to go on from there",
            )
        if self.state == "failed" and self._error is not None:
            raise self._error
        return self._value

    def __repr__(self) -> str:
        return f"Job({self.number}, {self.name!r})"


class Jobs:
    """All jobs of this process: iterate over them, or get one by its number: ``jobs[3]``."""

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._screen: Callable[[Job], Screen] | None = None
        self._changed: list[Callable[[Job], None]] = []

    def start(self, call: Callable[[], Any], name: str = "") -> Job:
        """Start ``call()`` in a thread of its own and return at once.

        ``name`` is shown in lists; the default is the name of the function.

        :raises BranchpointError: when ``call`` cannot be called.
        """
        if not callable(call):
            raise BranchpointError(
                f"{call!r} cannot be called",
                "put the work into a function: jobs.start(lambda: run.likelihood(crash))",
            )
        job = self.add(name or getattr(call, "__name__", type(call).__name__), background=True)
        # In this context the thread's output belongs to the cell that starts it.
        context = contextvars.copy_context()
        thread = threading.Thread(
            target=context.run, args=(self._work, job, call), name=f"job {job.number}", daemon=True
        )
        thread.start()
        return job

    def _work(self, job: Job, call: Callable[[], Any]) -> None:
        job.thread = threading.get_ident()
        value, error = None, None
        try:
            with progress.stoppable(job.stop):
                value = call()
        except BaseException as problem:
            error = problem
        self.end(job, value, error)

    def attach(self, number: int | None = None) -> Any:
        """Follow a job (default: the newest) to its end: show its output and its progress, and
        return its result. An interrupt ends only the following; the job goes on.

        :raises BranchpointError: when there is no such job, or it was stopped; an error that
            ended it is raised again.
        """
        job = self[number]
        if job.running and job.thread == threading.get_ident():
            raise BranchpointError(
                f"job {job.number} is this cell itself",
                "attach to it from another cell, which runs after this one has ended",
            )
        show = self._screen(job) if self._screen is not None else lambda: None
        with progress.task(job.name) as mirror:
            while not job.wait(_LOOK):
                show()
                if task := job.task:
                    mirror.title, mirror.total, mirror.unit = task.title, task.total, task.unit
                    mirror.started = task.started
                    mirror.update(task.done, task.note)
                else:
                    mirror.update()
        show()
        return job.result()

    def cancel(self, number: int | None = None) -> None:
        """Stop a job (default: the newest that is running), as the Stop button would; what it has
        done is kept.

        :raises BranchpointError: when there is no such job, or none is running.
        """
        if number is None:
            running = [job for job in self if job.running]
            if not running:
                raise BranchpointError("no job is running", "jobs lists them")
            number = running[-1].number
        job = self[number]
        job.stop.set()
        if job.running and not job.background:
            signal.pthread_kill(job.thread, signal.SIGINT)

    # -- for the code that owns the screen

    def add(self, name: str, *, background: bool, began: float | None = None) -> Job:
        """Register a job of this thread; it began now, or at ``began`` (``time.monotonic``)."""
        with self._lock:
            job = Job(next(self._numbers), name, background, began or time.monotonic())
            self._jobs[job.number] = job
            ended = [job for job in self._jobs.values() if not job.running]
            for old in ended[: max(len(ended) - _KEPT, 0)]:
                del self._jobs[old.number]
        self._tell(job)
        return job

    def end(self, job: Job, value: Any, error: BaseException | None) -> None:
        """Store how a job ended."""
        job.end(value, error)
        self._tell(job)

    def use(self, screen: Callable[[Job], Screen]) -> None:
        """Show the output of jobs by the function that ``screen(job)`` returns. It is called
        repeatedly while the job is followed.
        """
        self._screen = screen

    def when_changed(self, tell: Callable[[Job], None]) -> None:
        """Call ``tell(job)`` when a job begins or ends, in the thread where that happens."""
        self._changed.append(tell)

    def _tell(self, job: Job) -> None:
        for tell in self._changed:
            tell(job)

    # -- looking

    def __getitem__(self, number: int | None) -> Job:
        """The job with that number; None means the newest.

        :raises BranchpointError: when there is no such job.
        """
        if number is None and self._jobs:
            number = max(self._jobs)
        if number not in self._jobs:
            known = ", ".join(map(str, self._jobs)) or "none"
            raise BranchpointError(
                "there are no jobs yet" if number is None else f"there is no job {number}",
                f"known jobs: {known}",
            )
        return self._jobs[number]

    def __iter__(self) -> Iterator[Job]:
        """All known jobs, oldest first."""
        with self._lock:
            return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def _rows(self) -> list[tuple[str, str, str]]:
        return [(str(j.number), str(j.task) if j.task else j.state, j.name) for j in self]

    def __repr__(self) -> str:
        rows = self._rows()
        return "\n".join("  ".join(row) for row in rows) if rows else "no jobs"

    def _repr_html_(self) -> str:
        rows = self._rows()
        if not rows:
            return "<p>no jobs</p>"
        head = "<tr><th>job</th><th>state</th><th>what</th></tr>"
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
        )
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


jobs = Jobs()
"""The jobs of this process."""
