"""A terminal in a branch: a shell to type to, from any moment on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from branchpoint import showing
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.commands.process import Process
from branchpoint.timeline.commands.screen import Screen
from branchpoint.timeline.moment import duration
from branchpoint.timeline.replaying.history import COMMAND

_STEP = 10_000_000  # ns between looks whether the shell has ended
_PATIENCE = 10  # virtual seconds to wait at most for output to stop
_USUAL = 24, 80  # rows and columns
_COMMAND = re.compile(
    rb"(?:terminal\0(?P<number>[0-9]{1,10})\0(?P<container>[A-Za-z0-9_.-]{0,200})"
    rb"|resize\0(?P<again>[0-9]{1,10}))\0(?P<rows>[0-9]{1,4})\0(?P<columns>[0-9]{1,4})\0"
)
_TYPED = re.compile(rb"type\0(?P<number>[0-9]{1,10})\0(?P<keys>.*)", re.DOTALL)
_NAMED = 60  # characters of keys that a note shows
_QUIET = 0.25  # virtual seconds without output, after which a program counts as finished


class Terminal:
    """A shell in an ``xterm-256color`` in a container. Made by ``branch.terminal(container)``.

    What is typed becomes an input at the branch's tip, so a session is replayed with the branch:
    ``run.at(branch.id).branch()`` has it in ``terminals``, with the same output. Nothing happens
    while no time passes: :meth:`settle` and :meth:`advance` let it pass, and so does the branch's
    own ``wait``. Prints as its transcript.
    """

    def __init__(self, branch: Branch, number: int, container: str) -> None:
        self.branch = branch
        self.number = number
        """Its number among the commands of the branch."""
        self.container = container
        """Where its shell runs; empty: in the guest itself."""
        self._shell = Process(branch, number, "terminal", container)
        self._screen: Screen | None = None
        self._fed = 0  # pieces of output that are on the screen
        self._resized = 0  # sizes that the screen has had

    # -- acting

    def type(self, keys: str | bytes) -> Terminal:
        """Press keys at the branch's tip. In text a newline is the Enter key; bytes stay as is.

        ``"\\x03"`` is Ctrl-C, ``"\\x1b[A"`` the arrow up, as in any terminal.

        :raises BranchpointError: when the shell has ended.
        """
        data = keys.replace("\n", "\r").encode() if isinstance(keys, str) else bytes(keys)
        self._open()
        self.branch._place(COMMAND, wire.typed(self.number, data), typing(data))
        return self

    def resize(self, rows: int, columns: int) -> Terminal:
        """Give it another size at the branch's tip; full-screen programs redraw themselves.

        :raises BranchpointError: when the shell has ended.
        """
        self._open()
        data = wire.resize(self.number, rows, columns)
        self.branch._place(COMMAND, data, f"resize to {rows} rows, {columns} columns")
        return self

    def advance(self, time: Any = None, **units: float) -> bytes:
        """Let the branch's time pass, as :meth:`Branch.wait`; returns what was shown meanwhile.

        :raises ContainerError: when the terminal could not be opened.
        """
        before = len(self._pieces)
        self.branch.wait(time, **units)
        self._check()
        return b"".join(data for _, data in self._pieces[before:])

    def settle(self, quiet: Any = _QUIET, cap: Any = _PATIENCE) -> Terminal:
        """Let time pass until nothing was shown for ``quiet`` virtual seconds, or it has ended.

        At most ``cap`` virtual seconds pass.

        :raises ContainerError: when the terminal could not be opened.
        """
        history = self.branch._history
        rest = duration(quiet, {})
        limit = history.tip.at + duration(cap, {})
        until = history.tip.at + rest
        while history.tip.at < min(until, limit) and self.running:
            self.branch.run.replayer.play(history, min(until, limit))
            if self._pieces:
                until = max(until, self._pieces[-1][0] + rest)
        self._check()
        return self

    def close(self) -> Terminal:
        """Hang up: its programs get SIGHUP, and time passes until the shell has ended.

        At most 10 virtual seconds pass; a program that ignores the signal goes on.
        """
        if self.running:
            self.branch._place(COMMAND, wire.hangup(self.number), "hang up")
            history = self.branch._history
            self.branch.run.replayer.play(
                history,
                history.tip.at + duration(_PATIENCE, {}),
                lambda new: not self.running,
                _STEP,
            )
        return self

    def interact(self) -> Any:
        """The terminal in a notebook: an xterm to type to while time passes.

        A terminal that is the last expression of a cell is shown like this, too. Before its first
        output it settles.
        """
        return showing.show("terminal", self)

    # -- looking

    @property
    def output(self) -> bytes:
        """All that was written to it so far, control sequences included."""
        return b"".join(data for _, data in self._pieces)

    @property
    def screen(self) -> list[str]:
        """What it shows at the branch's tip: a text for each row."""
        return self._drawn().lines

    @property
    def transcript(self) -> str:
        """The session as text: all lines it has shown, without control sequences.

        Full-screen programs on the alternate screen (editors, pagers) leave nothing in it.
        """
        return self._drawn().text

    @property
    def size(self) -> tuple[int, int]:
        """Its rows and columns at the branch's tip."""
        return self._sizes()[-1][1]

    @property
    def running(self) -> bool:
        """Whether its shell has not ended by the branch's tip."""
        return self._shell.running

    @property
    def exit_code(self) -> int | None:
        """The exit code of its shell, see :attr:`Process.exit_code`; None while it runs."""
        return self._shell.exit_code

    @property
    def dead_container(self) -> bool:
        """Whether its container had exited: the shell sees what is left, files and network."""
        return self._shell.dead_container

    @property
    def _pieces(self) -> list[tuple[int, bytes]]:
        return self.branch._history.shown.get(self.number, [])

    def _sizes(self) -> list[tuple[int, tuple[int, int]]]:
        """The instants (ns) at which its size was set, and the sizes."""
        told = _commands(self.branch)
        sizes = [(each.at, each.size) for each in told if each.number == self.number]
        return sizes or [(self.branch.start.at, _USUAL)]

    def _drawn(self) -> Screen:
        """The screen with everything that was written up to the tip."""
        with self.branch.run.replayer.lock:
            sizes, pieces = self._sizes(), self._pieces
            if self._screen is None:
                self._screen = Screen(*sizes[0][1])
                self._resized = 1
            while self._fed < len(pieces) or self._resized < len(sizes):
                at, data = pieces[self._fed] if self._fed < len(pieces) else (2**63, b"")
                if self._resized < len(sizes) and sizes[self._resized][0] <= at:
                    self._screen.resize(*sizes[self._resized][1])
                    self._resized += 1
                else:
                    self._screen.feed(data)
                    self._fed += 1
            return self._screen

    def _check(self) -> None:
        """Raise ContainerError when the terminal, or its shell, could not be opened at all."""
        if self._pieces:
            return
        errors = self.branch.events.where(type="error")
        if errors.where(about="agent", text="unknown command: terminal"):
            raise ContainerError(
                f"{self.branch.run.path.name} was recorded with a guest that has no terminals",
                "record it again, or run commands: bash(...).run(branch, container)",
            )
        failed = errors.where(about=f"process/{self.number}").first
        if failed is not None:
            raise ContainerError(
                f"no terminal in {self.container or 'the guest'} at {self._shell.start.id}: "
                f"{failed.text}"
            )

    def _open(self) -> None:
        if not self.running:
            raise BranchpointError(
                f"the shell of this terminal has ended (exit code {self.exit_code})",
                "open another one: branch.terminal(container), or branch from an earlier moment",
            )

    def __str__(self) -> str:
        return self.transcript.removesuffix("\n")

    def __repr__(self) -> str:
        where = self.container or "guest"
        rows, columns = self.size
        state = "running" if self.running else f"exit {self.exit_code}"
        dead = ", container dead" if self.dead_container else ""
        return f"<terminal in {where}, {rows} rows, {columns} columns: {state}{dead}>"

    def _repr_mimebundle_(self, **_: Any) -> Any:
        return self.interact()._repr_mimebundle_()


def opened(branch: Branch) -> list[Terminal]:
    """The terminals of a branch and of its past."""
    commands = _commands(branch)
    return [Terminal(branch, c.number, c.container) for c in commands if c.container is not None]


class _Command(NamedTuple):
    """What an input tells a terminal: to begin, or to change its size."""

    at: int
    """ns."""
    number: int
    container: str | None
    """The container in which it begins; None: it exists already."""
    size: tuple[int, int]


def _commands(branch: Branch) -> Iterator[_Command]:
    """The commands up to the tip. Malformed inputs of a recording are ignored, as by the agent."""
    history = branch._history
    for given in history.inputs[: history.tip.count]:
        found = _COMMAND.match(given.data) if given.kind == COMMAND else None
        if found is None:
            continue
        number = int(found["number"] or found["again"])
        rows, columns = int(found["rows"]), int(found["columns"])
        name = found["container"]
        container = None if name is None else name.decode("ascii", "replace")
        if 1 <= rows <= wire.LARGEST_TERMINAL and 1 <= columns <= wire.LARGEST_TERMINAL:
            yield _Command(given.at, number, container, (rows, columns))


def keys_of(given: Input) -> tuple[int, bytes] | None:
    """The terminal's number and the keys, when an input is keys that were pressed in a terminal."""
    found = _TYPED.fullmatch(given.data) if given.kind == COMMAND else None
    return (int(found["number"]), found["keys"]) if found else None


def typing(keys: bytes) -> str:
    """Keys that were pressed as a short printable text; Enter is shown as ⏎."""
    text = keys.decode("utf-8", "backslashreplace").replace("\r", "⏎")
    return f"type {text if len(text) <= _NAMED else text[:_NAMED] + '…'!r}"
