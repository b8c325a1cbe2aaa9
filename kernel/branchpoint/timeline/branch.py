"""A branch: a timeline that one can act on."""

from __future__ import annotations

from collections.abc import Mapping, Set
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from branchpoint import showing
from branchpoint.clock import Duration, Time, format_vtime
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.events import naming
from branchpoint.events.event import Event, EventSet
from branchpoint.events.following import follow
from branchpoint.events.queries import Query, parse_query
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline import containers, testing
from branchpoint.timeline.failures import Happening
from branchpoint.timeline.moment import Moment, duration
from branchpoint.timeline.replaying import checking
from branchpoint.timeline.replaying.checking import Checked
from branchpoint.timeline.replaying.history import COMMAND, FAULT, History
from branchpoint.timeline.seeds import Noise, noise_of, seeding

if TYPE_CHECKING:
    from branchpoint.timeline.capture.packets import Packets
    from branchpoint.timeline.commands.process import Process
    from branchpoint.timeline.commands.terminal import Terminal
    from branchpoint.timeline.faulting import Faults
    from branchpoint.timeline.recording import Recording

HOST = ""
"""Stands for the guest itself, in place of a container's name."""
_FILE_TIME = 10_000_000_000  # ns within which a file must have been written
_STEP = 10_000_000  # ns between looks at the guest while an answer is awaited


class Branch:
    """A timeline that begins at a moment, to act on. Made by ``moment.branch()``.

    Time passes in it only through :meth:`wait`, :meth:`wait_until` and commands that are run.
    """

    def __init__(self, run: Recording, history: History) -> None:
        self.run = run
        self._history = history

    # -- where it is

    @property
    def start(self) -> Moment:
        """The moment at which it left its parent."""
        return Moment(self.run, self._history, self._history.fork)

    @property
    def end(self) -> Moment:
        """The moment at its tip: how far it has run."""
        return Moment(self.run, self._history, self._history.tip)

    @property
    def vtime(self) -> float:
        """Seconds of virtual time at its tip."""
        return self.end.vtime

    @property
    def id(self) -> str:
        """The id of its tip; ``run.at(id).branch()`` goes on from there."""
        return self.end.id

    # -- letting time pass

    def wait(self, time: Duration | None = None, **units: float) -> Branch:
        """Let virtual time pass: ``wait(5)``, ``wait(Time.seconds(5))``, ``wait(seconds=5)``.

        :raises TimeError: when the duration is negative.
        :raises GuestEnded: when the guest switches the machine off, resets or suspends it before.
        :raises DivergenceError: when a branch to which nothing was done is not as recorded.
        """
        self.run.replayer.play(self._history, self._history.tip.at + duration(time, units))
        return self

    def wait_until(self, events: Any, cap: Duration = 60, **units: float) -> Event | None:
        """Let time pass until one of ``events`` happens; at most ``cap`` (60 virtual seconds).

        ``events`` is an event set (its query is used), a query such as ``"exit:standby.*"``, a
        failure that is one event (``bp.failure(exit="standby.*", code=1)``), or
        ``{until: events}``, ``{until: events, "cap": 5}``. Returns the event, or None when the cap
        came first; then a line says so, too.

        :raises BranchpointError: when ``events`` does not describe events, or needs later ones.
        :raises ContainerError: when it names a container that does not exist.
        """
        if isinstance(events, dict):
            cap = events.get("cap", cap)
            rest = [value for key, value in events.items() if key != "cap"]
            cap = next((v for v in rest if isinstance(v, Time | int | float)), cap)
            events = next((v for v in rest if not isinstance(v, Time | int | float)), None)
        query = _query(events)
        naming.check(query, self.run.manifest.containers)
        matches = follow(query, self.events.columns)
        limit = duration(None, units) if units else duration(cap, {})
        found: list[Event] = []

        def stop(new: list[Event]) -> bool:
            found.extend(event for event in new if matches(event))
            return bool(found)

        self.run.replayer.play(self._history, self._history.tip.at + limit, stop, _STEP)
        if not found:
            what = repr(events) if isinstance(events, str) else "the event"
            showing.say(
                f"{what} did not happen in {Time.nanoseconds(limit)}: the branch is at {self.id}"
            )
        return found[0] if found else None

    # -- proving

    def check(self) -> Checked:
        """Run the branch again up to its tip, in a fresh emulator and from an earlier state, and
        check that events, output and the whole machine are the same.

        This takes as long as the first run did, plus a few virtual seconds before it. To check a
        share of all branches automatically, see :func:`branchpoint.self_check`.

        :raises DivergenceError: when anything differs; it names the states from which the two runs
            started.
        """
        return checking.check(self.run.replayer, self._history)

    # -- looking

    @property
    def events(self) -> EventSet:
        """All events up to its tip, those of its parent's past included."""
        return self.end.events

    def timeline(self) -> Any:
        """Its timeline as a picture, see :meth:`Recording.timeline`; it grows with the branch."""
        return showing.show("timeline", self)

    def slider(self, **options: Any) -> Any:
        """A slider over its instants and those before it, see :meth:`Recording.slider`."""
        return showing.show("slider", self, **options)

    def containers(self) -> containers.Containers:
        """The containers at its tip."""
        return self.end.containers()

    def extract_file(
        self,
        path: str | PathLike[str],
        container: str = HOST,
        save: str | PathLike[str] | None = None,
    ) -> bytes:
        """The content of a file at its tip, see :meth:`Moment.extract_file`."""
        return self.end.extract_file(path, container, save)

    def extract_tree(
        self,
        path: str | PathLike[str],
        container: str = HOST,
        save: str | PathLike[str] | None = None,
    ) -> bytes:
        """A directory at its tip as a tar archive, see :meth:`Moment.extract_tree`."""
        return self.end.extract_tree(path, container, save)

    def extract_pcap(self, container: str, time: Duration, filter: str = "") -> Packets:
        """The packets of a container in the ``time`` after the branch's tip; the tip stays.

        See :meth:`Moment.extract_pcap`.
        """
        return self.end.extract_pcap(container, time, filter)

    # -- acting

    @property
    def faults(self) -> Faults:
        """What goes wrong in it: partitions, kills, full disks, ...; see :class:`Faults`."""
        from branchpoint.timeline.faulting import Faults

        return Faults(self)

    def finish_test(self, kind: str = "eventually") -> Branch:
        """End its test at the tip, where the system has test commands: faults stop and containers
        are back, and one command of this kind runs, as time passes: ``"eventually"``, for which all
        other commands are killed, or ``"finally"``, after all others have ended by themselves.

        :raises BranchpointError: when the system has no such command.
        """
        testing.check(self.run.manifest.containers, kind)
        with self.run.replayer.lock:
            self._history.add(testing.ending(self._history.tip.at, kind))
        return self

    def run_command(
        self,
        script: str,
        container: str = HOST,
        *,
        raw: bool = False,
        environment: dict[str, str] | None = None,
        user: str | int | None = None,
        privileged: bool = False,
    ) -> Process:
        """Start a shell command at the tip; it runs as time passes. See :class:`bash`.

        :raises ContainerError: when there is no such container.
        :raises BranchpointError: when ``user`` cannot be one, or is given without a container.
        """
        from branchpoint.timeline.commands.process import Process

        name = self._name(container)
        number = self._history.commands() + 1
        whom = _whom(name, user, privileged)
        data = wire.exec(number, script, name, raw=raw, environment=environment, user=whom)
        self._place(COMMAND, data, f"{name or 'guest'}: {script[:200]}")
        return Process(self, number, script, name, privileged)

    def terminal(
        self,
        container: str = HOST,
        rows: int = 24,
        columns: int = 80,
        *,
        user: str | int | None = None,
        privileged: bool = False,
    ) -> Terminal:
        """Open a terminal with a shell in a container (running or exited) or in the guest.

        Type, and let time pass: see :class:`Terminal`. ``user`` and ``privileged`` are as for
        commands: see :class:`bash`.

        :raises ContainerError: when there is no such container.
        :raises BranchpointError: when ``user`` cannot be one, or is given without a container.
        """
        from branchpoint.timeline.commands.terminal import Terminal

        name = self._name(container)
        number = self._history.commands() + 1
        whom = _whom(name, user, privileged)
        data = wire.terminal(number, name, rows=rows, columns=columns, user=whom)
        self._place(COMMAND, data, f"{name or 'guest'}: terminal")
        return Terminal(self, number, name)

    @property
    def terminals(self) -> list[Terminal]:
        """The terminals opened in it, and in its parents before it began; the oldest first."""
        from branchpoint.timeline.commands import terminal

        return terminal.opened(self)

    def signal_command(self, number: int, signal: int) -> None:
        """Send a signal to the process group of a command."""
        self._place(COMMAND, wire.signal(number, signal), f"signal {signal} to command {number}")

    def control(self, verb: str, container: str, argument: str = "") -> None:
        """Kill (with a signal number), stop, start, restart, pause or unpause a container.

        :raises ContainerError: when there is no such container.
        """
        name = self._name(container)
        note = f"{verb} {name} {argument}".strip()
        self._place(FAULT, wire.container(verb, name, argument), note)

    def send_input(self, input_bytes: Any, *, noise: Noise = True) -> Branch:
        """Draw everything random anew from the tip on; see :meth:`Moment.branch`.

        ``input_bytes`` is the seed: 1 to 512 bytes or a whole number, or a mapping or a set that
        holds it (``{input_bytes}``).

        :raises BranchpointError: when it is not one such seed, or ``noise`` is not scheduling
            noise.
        """
        given = input_bytes
        if isinstance(given, Mapping):
            given = list(given.values())
        if isinstance(given, Set | list | tuple):
            if len(given) != 1:
                raise BranchpointError(f"one seed is needed, not {len(given)}")
            (given,) = given
        with self.run.replayer.lock:
            for new in seeding(self._history.tip.at, given, noise_of(noise)):
                self._history.add(new)
        return self

    def inject_file(
        self, path: str, content: bytes | str | Path, container: str = HOST, mode: int = 0o644
    ) -> None:
        """Write a file in a container (or the guest). ``content``: bytes, text, or a local Path.

        :raises ContainerError: when there is no such container, or the file cannot be written
            there.
        """
        name = self._name(container)
        if isinstance(content, Path):
            content = content.read_bytes()
        data = content.encode() if isinstance(content, str) else content
        answers: list[Event] = []
        for command in wire.put(path, data, name, mode=mode):
            self._place(COMMAND, command, f"{name or 'guest'}: write {path}")

            def answered(new: list[Event]) -> bool:
                answers.extend(
                    e
                    for e in new
                    if e.type == "file.written"
                    or (e.type == "error" and e.fields.get("about", "").startswith("file/"))
                )
                return bool(answers)

            answers.clear()
            self.run.replayer.play(
                self._history, self._history.tip.at + _FILE_TIME, answered, _STEP
            )
            if not answers or answers[-1].type == "error":
                why = answers[-1].text if answers else "no answer from the guest"
                raise ContainerError(f"{path} in {name or 'the guest'} was not written: {why}")

    def _place(self, kind: str, data: bytes, note: str) -> None:
        with self.run.replayer.lock:
            self._history.add(Input(at=self._history.tip.at, kind=kind, data=data, note=note))

    def _name(self, container: str) -> str:
        """The full name of a container, checked."""
        if container == HOST or str(container) == HOST:
            return HOST
        return str(containers.find(self.run.manifest.containers, container).name)

    def __repr__(self) -> str:
        history = self._history
        passed = format_vtime(history.tip.at - history.fork.at)
        return f"Branch(from {self.start.id!r}, {passed} s long)"


def _whom(container: str, user: str | int | None, privileged: bool) -> str:
    """Whom a command runs as, as the guest takes it."""
    if user is not None and (privileged or not container):
        what = "privileged=" if privileged else "the guest itself"
        raise BranchpointError(f"user= does not go with {what}", "leave one of them out")
    if privileged or not container:
        return wire.ROOT
    return wire.OWN if user is None else wire.user(str(user))


def _query(events: Any) -> Query:
    if isinstance(events, Query):
        return events
    if isinstance(events, EventSet | Happening):
        return events.query
    if isinstance(events, str):
        return parse_query(events)
    raise BranchpointError(
        f"{type(events).__name__} does not describe events",
        'use run.events.where(...), or a text such as "exit:standby.*"',
    )
