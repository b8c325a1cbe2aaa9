"""Progress of long operations, independent of where it is shown.

Slow code opens a :func:`task`; the code that owns the screen (terminal, notebook) installs
a reporter with :func:`use`. With no reporter installed, a terminal gets one updating line and
anything else gets nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

_REDRAW = 0.2  # wall seconds between two drawings of the same task
_COLUMNS = 80  # of a terminal that does not tell
_PATIENCE = 1.0  # wall seconds before a task is worth showing at all


class Reporter(Protocol):
    """Draws one task; called at most five times a second, and once with ``final=True``."""

    def __call__(self, task: Task, *, final: bool) -> None: ...


class Task:
    """One long operation: how far it is (``done`` of ``total`` ``unit``) and what it does now.

    A task within another one is not drawn; it only keeps the outer one's clock going.
    """

    def __init__(
        self,
        title: str,
        total: float | None,
        unit: str,
        reporter: Reporter,
        outer: Task | None = None,
        begun: float = 0.0,
    ) -> None:
        self.title = title
        self.total = total
        self.unit = unit
        self.done = self._begun = begun
        self.note = ""
        self.started = time.monotonic()
        self._drawn = 0.0
        self._reporter = reporter
        self._outer = outer

    @property
    def elapsed(self) -> float:
        """Wall seconds since the task began."""
        return time.monotonic() - self.started

    @property
    def remaining(self) -> float | None:
        """Estimated wall seconds left, or None while nothing can be said."""
        if not self.total or self.done <= self._begun:
            return None
        return self.elapsed * max(self.total - self.done, 0) / (self.done - self._begun)

    def update(self, done: float | None = None, note: str | None = None) -> None:
        """Say how far the task is (absolute) and, optionally, what it is doing.

        :raises KeyboardInterrupt: when this thread's work is no longer wanted, see
            :func:`stoppable`.
        """
        if done is not None:
            self.done = done
        if note is not None:
            self.note = note
        if self._outer is not None:
            self._outer.update()
            return
        stop = getattr(_open, "stop", None)
        if stop is not None and stop.is_set():
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - self.started >= _PATIENCE and now - self._drawn >= _REDRAW:
            self._drawn = now
            self._reporter(self, final=False)

    def finish(self) -> None:
        """Say that it has ended, so that its progress line is closed."""
        if self._drawn:
            self._reporter(self, final=True)

    def __repr__(self) -> str:
        return f"Task({self.title!r})"

    def __str__(self) -> str:
        parts = [self.title]
        if self.total:
            parts.append(f"{_short(self.done)}/{_short(self.total)} {self.unit}".rstrip())
        elif self.done:
            parts.append(f"{_short(self.done)} {self.unit}".rstrip())
        if self.note:
            parts.append(self.note)
        clock = f"{self.elapsed:.0f} s"
        if self.remaining is not None and self.done < (self.total or 0):
            clock += f", about {self.remaining:.0f} s left"
        return " · ".join([*parts, clock])


def _short(number: float) -> str:
    """Four digits, or all before the point."""
    return f"{number:.0f}" if number >= 1000 else f"{number:.4g}"


def _width() -> int:
    """Columns of the terminal."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
    return _COLUMNS


def _terminal(task: Task, *, final: bool) -> None:
    if sys.stderr.isatty():
        words = str(task)
        if final:
            words += "\n"
        elif len(words) >= (width := _width()):  # a line that is wrapped would not be drawn over
            words = words[: width - 2] + "…"
        sys.stderr.write(f"\r\x1b[2K{words}")
        sys.stderr.flush()
    elif final:
        print(task, file=sys.stderr)


_reporter: Reporter = _terminal
_open = threading.local()  # .task: the innermost task of this thread; .stop: see stoppable
_outermost: dict[int, Task] = {}  # by thread


def use(reporter: Reporter | None) -> Callable[[], None]:
    """Install ``reporter`` for all later tasks (None: the terminal's); the result undoes it."""
    global _reporter
    previous, _reporter = _reporter, reporter or _terminal

    def undo() -> None:
        global _reporter
        _reporter = previous

    return undo


@contextmanager
def task(
    title: str, total: float | None = None, unit: str = "", *, begun: float = 0.0
) -> Iterator[Task]:
    """Open a task for the duration of a ``with`` block; it is closed on errors too.

    ``begun``: how far it was before, so that the estimate counts only what is done now.
    """
    outer: Task | None = getattr(_open, "task", None)
    new = _open.task = Task(title, total, unit, _reporter, outer, begun)
    if outer is None:
        _outermost[threading.get_ident()] = new
    try:
        yield new
    finally:
        _open.task = outer
        if outer is None:
            _outermost.pop(threading.get_ident(), None)
        new.finish()


@contextmanager
def unseen() -> Iterator[None]:
    """In this block, tasks of this thread are not drawn: the caller shows progress itself."""
    outer = getattr(_open, "task", None)
    _open.task = Task("", None, "", lambda task, final: None)
    try:
        yield
    finally:
        _open.task = outer


def tick() -> None:
    """Say that this thread's task goes on, without news: its clock is drawn, a stop is noticed.

    :raises KeyboardInterrupt: as :meth:`Task.update` does.
    """
    task: Task | None = getattr(_open, "task", None)
    if task is not None:
        task.update()


def current(thread: int) -> Task | None:
    """The outermost task that the thread with that ident has open; None when there is none."""
    return _outermost.get(thread)


def _say(words: str) -> None:
    print(words, file=sys.stderr)


_say_stopped: Callable[[str], None] = _say


def stopped(words: str) -> None:
    """Say that a call of this thread was interrupted and returns a partial result.

    The caller goes on with that result, unless :func:`when_stopped` installed something else.
    """
    _say_stopped(words)


def when_stopped(say: Callable[[str], None]) -> None:
    """Let :func:`stopped` call ``say(words)`` from now on; by default it prints the words."""
    global _say_stopped
    _say_stopped = say


@contextmanager
def stoppable(stop: threading.Event) -> Iterator[None]:
    """In this block, tasks of this thread raise KeyboardInterrupt once ``stop`` is set."""
    _open.stop = stop
    try:
        yield
    finally:
        del _open.stop
