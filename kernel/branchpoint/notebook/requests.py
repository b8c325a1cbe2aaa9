"""Requests of the Lab extension to the kernel. They are answered even while a cell runs.

A request is a message ``branchpoint_request`` on the control channel; its content is

    {"ask": "state"}              the reply has :meth:`branchpoint.notebook.state.Watch.state`
    {"ask": "subscribe"}          the same; changes are then sent as ``branchpoint_state``
    {"ask": "cancel", "job": 3}   the same as ``jobs.cancel(3)``
    {"ask": "output", "job": 3}   also "output": what that job's cell shows, for a reloaded page

The reply, ``branchpoint_reply``, has the status "ok", or "error" with ``ename`` and ``evalue``.
Only subscribers get changes, so programs that execute notebooks get no messages that they do not
know.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from branchpoint import showing
from branchpoint.background import Job, jobs
from branchpoint.errors import BranchpointError
from branchpoint.notebook import nesting
from branchpoint.notebook.aside import on_main
from branchpoint.notebook.state import Watch

REQUEST, REPLY, PUSH = "branchpoint_request", "branchpoint_reply", "branchpoint_state"
_EVERY = 0.5  # wall seconds between two pushes while something runs


class Requests:
    """Answers requests to one kernel, in the control thread, so that no cell delays them."""

    def __init__(self, kernel: Any, told: Callable[[Job], dict[str, Any] | None]) -> None:
        """``told(job)`` gives the output of a job so far, as messages; None when it is not kept."""
        self._kernel = kernel
        self._told = told
        self._watch = Watch(kernel.shell, self._passed)
        self._subscribed = False
        self._pushed = 0.0
        self._lock = threading.Lock()
        kernel.control_handlers[REQUEST] = self.answer
        nesting.watch(kernel.shell, begin=self._begin, end=self._end)
        jobs.when_changed(self._changed)
        showing.when_chosen(self._chosen)

    async def answer(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        """Answer one request."""
        try:
            content = self._do(parent.get("content") or {})
        except Exception as problem:  # the page needs an answer, whatever went wrong
            content = {"status": "error", "ename": type(problem).__name__, "evalue": str(problem)}
        self._kernel.session.send(stream, REPLY, content, parent, ident=ident)

    def _do(self, asked: dict[str, Any]) -> dict[str, Any]:
        match asked.get("ask"):
            case "state":
                pass
            case "subscribe":
                self._subscribed = True
            case "cancel" | "output" as what:
                number = asked.get("job")
                if not isinstance(number, int):
                    raise BranchpointError("the request has no job number")
                if what == "output":
                    output = self._told(jobs[number])
                    return {"status": "ok", "state": self._watch.state(), "output": output}
                jobs.cancel(number)
            case other:
                raise BranchpointError(
                    f"this kernel does not know the request {other!r}",
                    "its Branchpoint and the Lab extension may have different versions",
                )
        return {"status": "ok", "state": self._watch.state()}

    def push(self) -> None:
        """Send the current state to subscribers."""
        if not self._subscribed:
            return
        self._kernel.session.send(
            self._kernel.iopub_socket,
            PUSH,
            self._watch.state(),
            ident=self._kernel._topic(PUSH),
        )

    def progress(self) -> None:
        """Something made progress: push the state, unless it was pushed just before."""
        now = time.monotonic()
        with self._lock:
            if now - self._pushed < _EVERY:
                return
            self._pushed = now
        self.push()

    def _begin(self, _: Any) -> None:
        if on_main():
            self._watch.busy = True

    def _end(self, _: Any) -> None:
        if on_main():
            self._watch.busy = False
        self._watch.look()
        self.push()

    def _passed(self, standing: bool) -> None:
        if standing:
            self.push()
        else:
            self.progress()

    def _chosen(self, moment: Any) -> None:
        self._watch.choose(moment)
        self.push()

    def _changed(self, _: Job) -> None:
        self.push()
