"""The Branchpoint kernel: IPython's, with our names, our syntax and our displays."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ipykernel.ipkernel import IPythonKernel
from traitlets import List, Type

import branchpoint as bp
from branchpoint import progress, showing
from branchpoint.background import Job
from branchpoint.notebook import aside, curves, errors, magics, printing, remarks, transcripts
from branchpoint.notebook.jobs import CellJobs
from branchpoint.notebook.language import addresses, cells, completion, escapes, syntax, typed
from branchpoint.notebook.reporter import CellReporter
from branchpoint.notebook.requests import REQUEST, Requests
from branchpoint.notebook.session import prepare_multiverse_debugging
from branchpoint.notebook.triage import triage

_TYPES = "_jupyter_types_experimental"  # of completions, in a reply

try:
    VERSION = version("branchpoint")
except PackageNotFoundError:  # run from a source tree
    VERSION = "0"

NAMES: dict[str, Any] = {
    "bp": bp,
    "bash": bp.bash,
    "Time": bp.Time,
    "failure": bp.failure,
    "jobs": bp.jobs,
    "prepare_multiverse_debugging": prepare_multiverse_debugging,
    "print": printing.print,
    "triage": triage,
    # So that `branch.wait_until({until: events})` and `branch.wait({duration: 5})` are Python.
    "until": "until",
    "duration": "duration",
}
"""The names that a notebook can use without an import."""

BANNER = f"""Branchpoint {VERSION} on Python {sys.version.split()[0]}
run = bp.open("name.branchpoint") opens a recording; [environment, moment] = \
prepare_multiverse_debugging()
opens the newest one here. moment.rewind(1).branch() makes a branch; \
bash`ps aux`.run({{branch, container}}) works in it.
"""


class BranchpointShell(escapes.Shell):
    """IPython's shell whose namespace has our names, also after ``%reset``.

    Some operations return a partial result when they are stopped. The statement then ends as
    usual, so that ``curve = run.likelihood(...)`` still is a curve, and the cell stops after it.
    """

    displayhook_class = Type(aside.DisplayHook)
    _stopped: str | None = None

    def stopped(self, words: str) -> None:
        """Call this when the running statement was stopped but returns a partial result. The cell
        stops after it and shows ``words``.
        """
        if threading.current_thread() is threading.main_thread():
            self._stopped = words

    async def run_code(self, code_obj: Any, result: Any = None, *, async_: bool = False) -> bool:
        if threading.current_thread() is not threading.main_thread():  # aside, nothing is stopped
            aside_failed: bool = await super().run_code(code_obj, result, async_=async_)
            return aside_failed
        self._stopped = None
        failed: bool = await super().run_code(code_obj, result, async_=async_)
        words, self._stopped = self._stopped, None
        if words is None or failed:
            return failed
        try:
            stop = KeyboardInterrupt()
            stop.add_note(words)
            raise stop
        except KeyboardInterrupt as stopped:
            if result is not None:
                result.error_in_exec = stopped
            self.CustomTB(*sys.exc_info())
        return True

    def init_user_ns(self) -> None:
        super().init_user_ns()
        self.user_ns_hidden.update(NAMES)
        self.user_ns.update(NAMES)


class BranchpointKernel(IPythonKernel):
    """The kernel that the kernelspec ``branchpoint`` starts."""

    implementation = "branchpoint"
    implementation_version = VERSION
    banner = BANNER
    shell_class = Type(BranchpointShell)
    compiler_class = Type(typed.Compiler)
    help_links = List(
        [
            {"text": "Python", "url": f"https://docs.python.org/3.{sys.version_info.minor}"},
            {"text": "IPython", "url": "https://ipython.readthedocs.io/en/stable/"},
            {"text": "pandas", "url": "https://pandas.pydata.org/docs/"},
            {"text": "Matplotlib", "url": "https://matplotlib.org/stable/"},
        ]
    ).tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        self._aside = aside.Aside(self)
        super().__init__(**kwargs)
        shell: Any = self.shell
        shell.input_transformers_cleanup.append(typed.checking(shell.user_ns))
        addresses.install(shell)
        errors.install(shell)
        printing.install(shell)
        magics.install(shell)
        completion.install(shell)
        cells.install(self)
        transcripts.install(shell)
        self._cells = CellJobs(shell)
        curves.install(shell, self._cells.shows)
        self._requests = Requests(self, self._told)
        self._reporter = CellReporter(self, self._drawn)
        progress.use(self._reporter)
        progress.when_stopped(shell.stopped)
        showing.say_by(remarks.show)
        bp.jobs.when_changed(self._job_changed)

    def _told(self, job: Job) -> dict[str, Any] | None:
        output = self._cells.output(job)
        return None if output is None else self._reporter.told(output)

    def _drawn(self) -> None:
        self._cells.drawn()
        self._requests.progress()

    def _job_changed(self, job: Job) -> None:
        output = self._reporter.output()
        if output is not None and job.running:
            self._cells.keep(job, output)

    def _publish_status(self, status: str, channel: str, parent: Any = None) -> None:
        # The front end and the server take every status for that of the cells, whatever its
        # channel: a request to a busy kernel must not make the kernel look idle.
        if channel == "control":
            asked = parent or self.get_parent("control") or {}
            if asked.get("header", {}).get("msg_type") == REQUEST:
                return
        super()._publish_status(status, channel, parent)
        busy = self._aside.published(status, parent or self.get_parent(channel))
        if busy is not None:
            super()._publish_status("busy", "shell", busy)

    async def shell_channel_thread_main(self, msg: Any) -> None:
        try:
            msg = self._aside.route(msg)
        except Exception:  # whoever receives an unreadable message refuses it
            self.log.debug("a message could not be read", exc_info=True)
        await super().shell_channel_thread_main(msg)

    def start(self) -> None:
        super().start()
        self._wake_on_signals()
        self._reply_through_stream()

    def _reply_through_stream(self) -> None:
        """Keep ipykernel before 7.4 from missing requests, see its issue 1554.

        It sends replies on the socket itself, unseen by the stream that reads requests from it. A
        request that comes at that instant is then read only when another one comes.
        """
        thread = self.shell_channel_thread
        if thread is not None and hasattr(thread.manager, "_shell_socket"):
            thread.manager._shell_socket = self.shell_stream

    def _wake_on_signals(self) -> None:
        """Make an interrupt reach an async cell at once.

        ipykernel's handler only queues the cancellation, and an event loop that sleeps would not
        look at the queue before its next timer. A byte on a socket that it watches wakes it.
        """
        self._woken, waker = socket.socketpair()
        self._woken.setblocking(False)
        waker.setblocking(False)
        loop = asyncio.get_event_loop()
        loop.add_reader(self._woken, lambda: self._woken.recv(4096))
        signal.set_wakeup_fd(waker.detach(), warn_on_full_buffer=False)

    def do_complete(self, code: str, cursor_pos: int) -> Any:
        if syntax.in_shell(code, cursor_pos):
            place = {"cursor_start": cursor_pos, "cursor_end": cursor_pos}
            return {"status": "ok", "matches": [], "metadata": {}, **place}
        reply = super().do_complete(syntax.mask(code), cursor_pos)
        for match in reply["metadata"].get(_TYPES, []):
            if match["type"] == "<unknown>":  # front ends would show this
                match["type"] = ""
        return reply

    def do_inspect(
        self, code: str, cursor_pos: int, detail_level: int = 0, omit_sections: Any = ()
    ) -> Any:
        return super().do_inspect(syntax.mask(code), cursor_pos, detail_level, omit_sections)

    def do_is_complete(self, code: str) -> Any:
        if syntax.is_open(code):
            return {"status": "incomplete", "indent": ""}
        return super().do_is_complete(code)
