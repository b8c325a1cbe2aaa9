"""Shell commands in a branch."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from branchpoint.clock import Time, format_vtime
from branchpoint.errors import BranchpointError, ContainerError, ProcessTimeout
from branchpoint.events.event import Event, EventSet
from branchpoint.events.excerpt import excerpt
from branchpoint.events.listing import inert
from branchpoint.events.reports import unstarted
from branchpoint.guest import wire
from branchpoint.timeline.branch import HOST, Branch
from branchpoint.timeline.commands.bounding import CUT
from branchpoint.timeline.commands.files import has_ended
from branchpoint.timeline.moment import Moment, duration

_PATIENCE = 60  # virtual seconds
_STEP = 10_000_000  # ns between looks whether the command has ended
_SCRIPT = 80  # characters of a command in a note
_CLOCK = re.compile(r"\d\d:\d\d:\d\d\.\d{6}\b")
_SHOWN = 24_000  # characters of output in a notebook's saved cell
_LAST_WORDS = 2000  # characters
_REFUSAL = re.compile(r"not permitted|permission denied|permission to", re.IGNORECASE)
_KILLED = 9  # the signal
_WITH_IT = 0.1  # virtual seconds between the end of a container and that of what ran in it
_SCREEN_PROGRAMS = {
    "htop", "less", "man", "more", "nano", "screen", "tmux", "top", "vi", "view", "vim", "watch",
}  # fmt: skip


def _screen_program(script: str) -> str:
    """The program that draws on a terminal, if the script is only that."""
    word = (script.split() or [""])[0].rpartition("/")[2]
    return word if word in _SCREEN_PROGRAMS else ""


class Host:
    """The guest itself, in place of a container: ``container=environment.host``."""

    def __str__(self) -> str:
        return HOST

    def __repr__(self) -> str:
        return "host"


class bash:
    """A shell command, to be run in a container of a branch.

    ``bash("ps aux").run(branch, "standby.replicator.1")`` lets virtual time pass until it exits;
    ``run_in_background`` returns at once, and the command goes on whenever time passes.
    In a Branchpoint notebook, backticks work too: ``bash`ps aux`.run({branch, container})``.
    Tools that the container's image lacks come from the guest's toolbox.

    It runs as the container's user, with the rights that the container has. ``user`` is another one
    (a name or a number, with ``:`` and a group behind it); ``privileged`` makes it root with all
    rights, also those that the container lacks. In the guest itself all commands are so.
    """

    def __init__(self, script: str) -> None:
        self.script = script

    def run(
        self,
        *where: Any,
        branch: Branch | None = None,
        container: Any = None,
        timeout: Any = None,
        environment: dict[str, str] | None = None,
        user: str | int | None = None,
        privileged: bool = False,
    ) -> Process:
        """Run to the end, at most ``timeout`` (60) virtual seconds.

        The branch, the container's name (none: the guest itself) and the timeout are recognised by
        their types, so they may come in any order or in a set. A non-zero exit is a value:
        ``process.exit_code``.

        :raises ProcessTimeout: when it is still running after that; it goes on running.
        :raises ContainerError: when there is no such container, or the command could not be
            started.
        :raises BranchpointError: when there is no branch to run it in.
        """
        place = _Place(where, branch, container, timeout)
        process = place.branch.run_command(
            self.script, place.container, environment=environment, user=user, privileged=privileged
        )
        return process.wait(place.timeout)

    def run_in_background(
        self,
        *where: Any,
        branch: Branch | None = None,
        container: Any = None,
        environment: dict[str, str] | None = None,
        user: str | int | None = None,
        privileged: bool = False,
    ) -> Process:
        """Start it at the tip of the branch; it runs while the branch's time passes.

        :raises ContainerError: when there is no such container.
        :raises BranchpointError: when there is no branch to run it in.
        """
        place = _Place(where, branch, container, None)
        return place.branch.run_command(
            self.script, place.container, environment=environment, user=user, privileged=privileged
        )

    def __repr__(self) -> str:
        return f"bash({self.script!r})"


class _Place:
    """Where a command runs, from arguments that are recognised by their types."""

    def __init__(self, where: tuple[Any, ...], branch: Any, container: Any, timeout: Any) -> None:
        found: dict[str, Any] = {"branch": branch, "container": container, "timeout": timeout}
        for given in _flat(where):
            if isinstance(given, Branch):
                key = "branch"
            elif isinstance(given, str | Host):
                key = "container"
            elif isinstance(given, Time | int | float):
                key = "timeout"
            elif isinstance(given, Moment):
                raise BranchpointError(
                    "commands run in a branch, not at a moment",
                    "make one first: branch = moment.branch()",
                )
            else:
                raise BranchpointError(f"a command cannot be run in a {type(given).__name__}")
            if found[key] is not None:
                raise BranchpointError(f"two values were given for {key}")
            found[key] = given
        if not isinstance(found["branch"], Branch):
            raise BranchpointError(
                "no branch to run the command in", "give one: bash(...).run(branch, container)"
            )
        self.branch: Branch = found["branch"]
        self.container = HOST if found["container"] is None else str(found["container"])
        self.timeout = _PATIENCE if found["timeout"] is None else found["timeout"]


def _flat(where: Iterable[Any]) -> Iterable[Any]:
    for given in where:
        if isinstance(given, Mapping):
            yield from given.values()
        elif isinstance(given, set | frozenset | tuple | list):
            yield from given
        elif given is not None:
            yield given


class Process:
    """A command in a branch, running or ended. Prints as its output."""

    def __init__(
        self, branch: Branch, number: int, script: str, container: str, privileged: bool = False
    ) -> None:
        self.branch = branch
        self.number = number
        """Its number among the commands of the branch."""
        self.script = script
        self.container = container
        """Where it runs; empty: in the guest itself."""
        self.privileged = privileged or not container
        """Whether it has all rights."""
        self.start = branch.end
        """The moment at which it was started."""

    @property
    def events(self) -> EventSet:
        """Its output lines, its start and its exit."""
        return self.branch.events.where(source="process", id=str(self.number))

    def _lines(self, stream: str | None = None) -> str:
        lines = self.events.where(type="log", stream=stream)
        kept = "".join(event.text + "\n" for event in lines)
        return kept + self._end(stream) if self.events.where(type=CUT) else kept

    def _end(self, stream: str | None) -> str:
        """For output that was cut: how much is left out, and the end."""
        bound = self.branch._history.bound
        tail = bound.tails.get(str(self.number)) if bound else None
        if tail is None:
            return "… it went on, and the rest is not kept\n"
        left_out = f"… {tail.lines} lines, {tail.bytes} bytes, are left out …\n" * (tail.lines > 0)
        return left_out + "".join(
            line.data.decode("utf-8", "backslashreplace") + "\n"
            for line in tail.end
            if stream in (None, line.stream)
        )

    @property
    def output(self) -> str:
        """Everything written so far, standard output and standard error in the order in which they
        came. Of more than 1 MiB, only the beginning and the end are kept; a line between them says
        how much is left out.
        """
        return self._lines()

    def dated(self, after: int = 0) -> tuple[str, int]:
        """What it wrote from line number ``after`` on, as a notebook shows it, and how many lines
        there are so far. A line that begins with a time of the guest's clock, as tcpdump's do, gets
        the vtime at which it was written in front.
        """
        lines = self.events.where(type="log")
        kept = "".join(f"{_dated(event)}\n" for event in lines[after:])
        return kept + self._end(None) if self.events.where(type=CUT) else kept, len(lines)

    @property
    def stdout(self) -> str:
        """What was written to standard output so far."""
        return self._lines("out")

    @property
    def stderr(self) -> str:
        """What was written to standard error so far."""
        return self._lines("err")

    def raw(self, stream: str = "out") -> bytes:
        """The bytes so far, of a command run in raw mode; at most the first 1 GiB."""
        return bytes(self.branch._history.raw.get(self.number, {}).get(stream, b""))

    @property
    def _exit(self) -> Event | None:
        return self.events.where(type="process.exit").first

    @property
    def running(self) -> bool:
        """Whether it has not ended by the branch's tip."""
        return self._exit is None

    @property
    def exit_code(self) -> int | None:
        """0 to 255 once ended (128 + n when signal n ended it), None while running."""
        end = self._exit
        if end is None:
            return None
        return 128 + self.signal if self.signal else end.number("code")

    @property
    def signal(self) -> int | None:
        """The signal that ended it, or None."""
        end = self._exit
        return (end.number("signal") or None) if end else None

    @property
    def dead_container(self) -> bool:
        """Whether its container had exited: it ran with what is left, the files and the network."""
        begin = self.events.where(type="process.start").first
        return begin is not None and begin.fields.get("dead") == "1"

    @property
    def remark(self) -> str:
        """Why it ended as it did, when output and exit code alone do not show it; else ""."""
        end = self._exit
        if end is None or end.number("code") == 0:
            return ""
        program = _screen_program(self.script)
        if program and self.signal is None:
            where = repr(self.container) if self.container else ""
            return (
                f"{program} wants a terminal, and a command has none; in Python, "
                f"branch.terminal({where}) opens one"
            )
        if self.signal != _KILLED:
            return self._refused
        history = self.branch._history
        asked = wire.signal(self.number, _KILLED)
        if any(i.data == asked for i in history.inputs[: history.tip.count]):
            return ""
        said = f"{self.script!r} was killed at {format_vtime(end.at - end.origin)} s"
        near = self.branch.events.where(
            container=self.container or "-", start=end.vtime - _WITH_IT, end=end.vtime + _WITH_IT
        )
        if near.where(type="container.oom"):
            return f"{said}: {self.container} ran out of memory then"
        if near.where(type="container.exit"):
            return f"{said}: its container, {self.container}, ended then"
        return f"{said} (signal 9), perhaps because memory ran out: the kernel's log may tell"

    @property
    def _refused(self) -> str:
        """That it may have lacked a right, if its last words say so."""
        if self.privileged:
            return ""
        words = self.stderr[-_LAST_WORDS:] + self.raw("err")[-_LAST_WORDS:].decode(errors="replace")
        if not _REFUSAL.search(words):
            return ""
        return (
            "it ran with the container's rights only; to run it with all rights: --privileged, in "
            "Python privileged=True"
        )

    def wait(self, timeout: Any = _PATIENCE) -> Process:
        """Let time pass until it exits, at most ``timeout`` virtual seconds.

        :raises ProcessTimeout: when it is still running after that; it goes on running.
        :raises ContainerError: when it could not even be started.
        """
        history = self.branch._history
        limit = duration(timeout, {})

        def ended(new: list[Event]) -> bool:
            return has_ended(self, new)

        if self.running:
            try:
                self.branch.run.replayer.play(history, history.tip.at + limit, ended, _STEP)
            except KeyboardInterrupt as stop:
                if self.running:
                    stop.add_note(
                        f"{self.script[:_SCRIPT]!r} still runs in the branch, whenever its time "
                        f"passes; {self._to_end}"
                    )
                raise
        errors = self.branch.events.where(type="error", about=f"process/{self.number}")
        failed = errors.filter(unstarted).last
        if failed is not None:
            raise ContainerError(
                f"{self.script!r} could not be run in {self.container or 'the guest'} at "
                f"{self.start.id}: {failed.text}"
            )
        if self.running:
            raise ProcessTimeout(
                f"{self.script!r} in {self.container or 'the guest'}, started at {self.start.id}, "
                f"was still running after {format_vtime(limit)} virtual seconds",
                "give it more (timeout=...), or use run_in_background; it is still running, and "
                f"its output so far is in .output; {self._to_end}",
            )
        return self

    @property
    def _to_end(self) -> str:
        """How to end it when only the branch is at hand."""
        return f"to end it: branch.signal_command({self.number}, {signal.SIGKILL.value})"

    def kill(self, signal: int = 15) -> None:
        """Send a signal to it and its children, at the branch's tip."""
        self.branch.signal_command(self.number, signal)

    def __str__(self) -> str:
        return self.output.removesuffix("\n")

    def __repr__(self) -> str:
        where = self.container or "guest"
        state = "running" if self.running else f"exit {self.exit_code}"
        dead = ", container dead" if self.dead_container else ""
        remark = f"; {self.remark}" if self.remark else ""
        return f"<{self.script!r} in {where}: {state}{dead}{remark}>"

    def _repr_html_(self) -> str:
        lines = excerpt(self.dated()[0], ".output").splitlines()
        text = "\n".join(inert(line.expandtabs(), _SHOWN) for line in lines)
        cut = f"\n… {len(text) - _SHOWN} characters more in .output" if len(text) > _SHOWN else ""
        return f"<pre>{escape(text[:_SHOWN] + cut)}</pre><small>{escape(repr(self))}</small>"


def _dated(event: Event) -> str:
    """A line; with its vtime in front when it begins with a time of day."""
    return f"{event.vtime:.3f} s  {event.text}" if _CLOCK.match(event.text) else event.text
