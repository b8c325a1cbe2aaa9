"""A terminal to type in: it shows the output of a shell in a branch and sends keys to it.

Each key lets only as much time pass in the branch as the program needs to answer, so a user who
opens a terminal a second before a crash can look around for a long time. :meth:`TerminalView.run`
lets time pass at the speed of the user's clock. Nothing happens before the first key, so a
notebook that runs without a user gives the same result each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from html import escape
from typing import Any

import traitlets

from branchpoint.clock import format_vtime
from branchpoint.events.listing import inert
from branchpoint.timeline.commands.terminal import Terminal
from branchpoint.views.clock import clock_of
from branchpoint.views.view import View, bundle

RUN = 60.0
"""Virtual seconds after which time stops again, unless it is paused before."""
_ECHO = 0.02  # virtual seconds to wait for the answer to a key; the agent takes up to 0.01
_STEP = 0.02  # virtual seconds that pass at a time while an answer is awaited
_MORE = 0.005  # virtual seconds to wait for more of an answer that has begun
_ANSWER = 0.5  # virtual seconds without output after which the answer to a line has ended
_PATIENCE = 5.0  # most virtual seconds to wait for an answer
_FIRST = 2.0  # most virtual seconds to wait for the first output of a shell
_FLOOD = 1 << 19  # bytes of output since the last key or run(), after which time stops
_REPLAYED = 1 << 20  # most bytes sent again to a page; servers drop much larger messages
_PROMPT = b"\x1b[?2004h"  # most shells send this when they wait for a line
_NO_PROMPT = b"\x1b[?2004l"
_EVERY = 0.2  # wall seconds between two updates of the time while it passes
_WIDTH = 1000  # characters of a line in the static view
_STATIC = 40_000  # characters of the static view; it shows the last ones


class TerminalView(View):
    """A terminal on the page, made by ``terminal.interact()`` or by displaying a terminal.

    ``view.terminal`` is the terminal itself, for use in code.
    """

    kind = "terminal"
    _esm = bundle("terminal.js")
    state = traitlets.Dict().tag(sync=True)

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self._branch = terminal.branch
        self._history = self._branch._history
        self._clock = clock_of(self._branch)
        self._output = bytearray()
        self._pieces = 0  # how many pieces of the terminal's output are in _output
        self._said = 0.0
        self._listeners: list[Callable[[], None]] = []
        self._rest = 0.0  # virtual seconds without output after which an answer has ended
        self._end = 0  # absolute ns at which an answer has ended, if there is no more output
        self._limit = 0  # absolute ns at which waiting for an answer ends in any case
        self._touched = 0  # bytes of output before the last key or run()
        self._opened = False  # whether a page has shown it
        if not terminal.output:
            self._begin()
        self._take()
        super().__init__()
        self._say()
        self._history.watchers.append(self._passed)
        self.when_closed(lambda: self._history.watchers.remove(self._passed))
        self.when_closed(self._clock.watch(self._say))

    def _begin(self) -> None:
        """Let time pass until the shell has written something, at most ``_FIRST`` seconds."""
        end = self._branch.vtime + _FIRST
        while not self.terminal.output and self.terminal.running and self._branch.vtime < end:
            self.terminal.settle(_ECHO)

    def when_changed(self, changed: Callable[[], None]) -> None:
        """Call ``changed()`` after each new output, in any thread."""
        self._listeners.append(changed)

    @property
    def transcript(self) -> str:
        """The session as text that is safe to show anywhere: its last 40 000 characters."""
        text = "\n".join(inert(line, _WIDTH) for line in self.terminal.transcript.splitlines())
        if len(text) <= _STATIC:
            return text
        return f"… {len(text) - _STATIC} characters before this\n{text[-_STATIC:]}"

    # -- for Python

    def run(self) -> TerminalView:
        """Let time pass in the branch, until :meth:`pause` or for :data:`RUN` virtual seconds."""
        self._limit = 0
        self._touched = len(self._output)
        self._clock.run(self._branch, RUN)
        return self

    def pause(self) -> TerminalView:
        """Stop time in the branch, and wait until it has stopped."""
        self._limit = 0
        self._clock.pause()
        self._clock.join()
        return self

    # -- what it shows

    def _take(self) -> bytes:
        """Read the new output of the terminal."""
        pieces = self._history.shown.get(self.terminal.number, [])[self._pieces :]
        new = b"".join(data for _, data in pieces)
        self._pieces += len(pieces)
        self._output += new
        return new

    def _passed(self, standing: bool) -> None:
        """Time has passed in the branch."""
        start = len(self._output)
        new = self._take()
        if new:
            self.send({"answer": "output", "start": start}, [new])
            for listener in self._listeners:
                listener()
            self._expect(_MORE if self._waits else self._rest)
            if len(self._output) - self._touched > _FLOOD:
                self._limit = 0
                self._clock.pause()
        self._await()
        quiet = standing and not self._clock.running
        if quiet or time.monotonic() - self._said > _EVERY:
            self._say()

    def _say(self) -> None:
        with self._branch.run.replayer.lock:  # one at a time, so that the last state sent is true
            self._tell()

    def _tell(self) -> None:
        self._said = time.monotonic()
        terminal, branch = self.terminal, self._branch
        rows, columns = terminal.size
        running = terminal.running
        if not running and self._clock.running:
            self._clock.pause()
        passes = self._clock.running and running
        self.state = {
            "container": terminal.container,
            "dead": terminal.dead_container,
            "rows": rows,
            "columns": columns,
            "passes": passes,
            "vtime": format_vtime(self._history.tip.at - branch.run.origin),
            "code": "" if passes else self._code(),
            "exit": terminal.exit_code,
            "error": self._clock.error,
        }

    def _code(self) -> str:
        """The expression for this terminal as it is now."""
        number = [each.number for each in self._branch.terminals].index(self.terminal.number)
        return f'run.at("{self._branch.id}").branch().terminals[{number}]'

    # -- requests of the browser

    def _on_output(self, message: dict[str, Any]) -> None:
        start = max(int(message["start"]), len(self._output) - _REPLAYED, 0)
        answer = {"answer": "output", "start": start, "asked": True, "first": not self._opened}
        self._opened = True
        self.send(answer, [bytes(self._output[start:])])

    @property
    def _waits(self) -> bool:
        """Whether the shell waits for a line, according to its last bracketed-paste sequence."""
        return self._output.rfind(_PROMPT) > self._output.rfind(_NO_PROMPT)

    def _answer(self, rest: float) -> None:
        """Let time pass for an answer; it ends after ``rest`` virtual seconds without output."""
        self._rest = rest
        self._touched = len(self._output)
        self._limit = self._history.tip.at + round(_PATIENCE * 1e9)
        self._expect(_ECHO if self._waits else rest)
        self._await()

    def _expect(self, seconds: float) -> None:
        """An answer has ended when ``seconds`` pass without output from now on."""
        self._end = self._history.tip.at + round(seconds * 1e9)

    def _await(self) -> None:
        """Let the next step of the time pass in which an answer may come.

        Only a step: a clock that was told to run does not stop earlier, and a prompt ends an
        answer at once.
        """
        left = (min(self._end, self._limit) - self._history.tip.at) / 1e9
        if left > 0:
            self._clock.run(self._branch, min(left, _STEP))

    def _on_keys(self, message: dict[str, Any]) -> None:
        keys = str(message["keys"])
        encoding = "latin-1" if message.get("binary") else "utf-8"
        self.terminal.type(keys.encode(encoding, "replace"))
        self._answer(_ECHO if keys.isprintable() else _ANSWER)

    def _on_size(self, message: dict[str, Any]) -> None:
        size = int(message["rows"]), int(message["columns"])
        if size != self.terminal.size:
            self.terminal.resize(*size)
            self._answer(_ECHO)

    def _on_run(self, message: dict[str, Any]) -> None:
        self.run()

    def _on_pause(self, message: dict[str, Any]) -> None:
        self._limit = 0
        self._clock.pause()

    # -- static

    def __repr__(self) -> str:
        return f"{self.terminal!r}\n{self.transcript}"

    def _fallback_html(self) -> str:
        where = self.terminal.container or "guest"
        return f"<p>Terminal in {escape(where)}</p><pre>{escape(self.transcript)}</pre>"
