"""One future after another, on one emulator: rewind, seed, run, judge.

This is the inner loop of everything that counts futures, so it does little in Python: the machine
at a fork is kept in memory and restored in process, events are judged as they come and are not
kept, and a future ends as soon as its verdict is known.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import msgspec
from blake3 import blake3

from branchpoint.clock import format_vtime
from branchpoint.errors import BranchpointError, GuestEnded, MachineError
from branchpoint.events.event import LOG, Event
from branchpoint.events.reports import end_of_machine
from branchpoint.futures.draws import LONGEST_CAUSE, MOST_CAUSES, Draw
from branchpoint.futures.running.signatures import line_signature, signature
from branchpoint.guest import wire
from branchpoint.machine.watching.bytecode import Jump
from branchpoint.machine.watching.ran import Covered
from branchpoint.programs.python import Decision, Line, decisions, interpreters, lines
from branchpoint.store.manifest import Input, Ns
from branchpoint.timeline.commands.bounding import Bound
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Judge, Stretch
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying import checking
from branchpoint.timeline.replaying.echo import Echo, news
from branchpoint.timeline.replaying.history import COMMAND, History, Point, Start
from branchpoint.timeline.replaying.player import Player
from branchpoint.timeline.seeds import NOISE, SEED, seeding

_LOOK = 250_000_000  # ns between two looks at how much has run
_FORKS = 64  # forks whose judges are kept
_WAYS = 8  # ways of which the history is kept
_TRIES = 2  # of a future whose emulator dies
_CLOCK_TIMES = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?|\d\d:\d\d:\d\d(?:[.,]\d+)?"
)
MOST_SEEN = 2000
"""Signatures of one future at most; then life cycle, faults and the first lines are kept."""


class FutureSpec(msgspec.Struct, frozen=True):
    """A future to run."""

    at: Ns
    """The fork, absolute ns."""
    seed: int | None
    """None: the recorded future."""
    inputs: list[Input] = []
    """More inputs, not before the fork; at the same instant they come after the seed."""
    recorded: bool = True
    """Whether it gets the recording's inputs after the fork, too; else ``inputs`` are all."""
    since: Ns | None = None
    """If not None: it is the same as others up to this instant (absolute ns), to which all inputs
    before it lead. It is judged from there on, and the machine there is kept for the others."""
    lines: bool = False
    """Whether log lines are to be noted, too, and the instants of what was seen."""
    digest: bool = False
    """Whether a digest of the whole machine at the end is wanted."""
    code: list[Ns] = []
    """If not empty: tell the code that runs up to each of these instants, ascending, absolute ns.
    The future ends at the last one; then it is censored, unless it has failed before."""
    turned: list[Jump] = []
    """Conditional jumps of Python programs that go the other way, from where it begins. Then the
    lines that run are told, too."""
    most: tuple[int, Ns] | None = None
    """If so many instructions of byte code run in so many ns (more in a longer time), it ends, and
    is censored: a program whose decisions are turned may go round in circles, which takes long and
    leads nowhere."""
    number: int = 0
    """A number of the caller's own; the outcome repeats it."""

    @property
    def watched(self) -> bool:
        """Whether it needs an emulator that knows which code runs."""
        return bool(self.code or self.turned)

    @property
    def begin(self) -> Ns:
        """From where on it is judged, absolute ns."""
        return self.at if self.since is None else self.since


class CodeRan(msgspec.Struct, frozen=True):
    """The code that ran in a stretch of a future."""

    places: bytes
    """Of machine code, as numbers of 64 bits; see :mod:`branchpoint.machine.watching.coverage`."""
    lines: list[Line]
    """Of Python programs, in the order in which each ran first."""
    untold: bool
    """Whether there was more, which is left out."""
    decisions: list[Decision] = []
    """Where Python programs could go the other way, in the order in which each ran first."""
    executed: int = 0
    """How many instructions of Python's byte code ran, each time counted, since the beginning."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a job."""

    draw: Draw
    digest: str = ""
    """Digest of the machine where the future ended, if it was asked for."""
    number: int = 0
    """The number of the job."""
    seen: dict[str, int] = {}
    """When ``lines`` were asked for: signatures of what happened after the fork and before the
    failure, with the absolute ns of the first time."""
    code: list[CodeRan] = []
    """The code that ran up to each instant that was asked for, from the one before it on."""


class Shares(msgspec.Struct):
    """Wall seconds spent so far, by purpose."""

    rewind: float = 0.0
    """Bringing the machine to the fork."""
    run: float = 0.0
    """The emulator, executing the guest."""
    rest: float = 0.0
    """Everything else: inputs, events, verdicts."""
    futures: int = 0


class Futures:
    """Runs futures of one recording and judges them. Keeps nothing of a future but its draw."""

    def __init__(
        self,
        run: Recording,
        failure: Failure,
        horizon: Callable[[int], int],
        noise: tuple[int, int] | None = NOISE,
    ) -> None:
        """``horizon`` gives, for the ns of a fork, the absolute ns up to which a future has to run;
        ``noise`` is the scheduling noise of seeded futures, ns.
        """
        self.shares = Shares()
        self._recording = run
        self._failure = failure
        self._horizon = horizon
        self._noise = noise
        self._judges: OrderedDict[tuple[History, int], Judge] = OrderedDict()
        self._ways: OrderedDict[bytes, History] = OrderedDict()

    def run(self, job: FutureSpec) -> Outcome:
        """Run a future until its verdict is known.

        A machine that stopped for good on the way makes it censored, and so does an emulator that
        died twice.
        """
        started = time.perf_counter()
        before = self.shares.rewind + self.shares.run
        try:
            for _ in range(_TRIES - 1):
                with contextlib.suppress(_Died):
                    return self._tried(job)
            return self._tried(job, last=True)
        finally:
            counted = self.shares.rewind + self.shares.run - before
            self.shares.rest += time.perf_counter() - started - counted
            self.shares.futures += 1

    def _tried(self, job: FutureSpec, *, last: bool = False) -> Outcome:
        replayer = self._recording.replayer
        with replayer.lock:
            if job.watched:
                replayer.cover(Covered(interpreters(replayer.snapshot.spec.modules[-1])))
            try:
                player, origin, point = self._stand(job)
            except MachineError:
                if last:
                    raise
                raise _Died from None
            checked = checking.due()
            future = self._future(job, origin, point)
            player.history = future.history
            try:
                code = self._play(player, future)
                digest = player.computer.digest().hex() if job.digest or checked else ""
            except MachineError as problem:
                died = not player.alive
                player.close()  # its state is of no use any more
                if died and not last:
                    raise _Died from None
                censored = future.censored(player.place.at, problem)
                return Outcome(censored, number=job.number)
            finally:
                player.history = None  # what it is now belongs to no timeline
            draw = future.draw(player.place.at)
            outcome = Outcome(draw, digest, job.number, future.seen, code)
            if checked:
                self._check(outcome, job, origin, point, player.since)
            return outcome if job.digest else msgspec.structs.replace(outcome, digest="")

    def _check(
        self, outcome: Outcome, job: FutureSpec, origin: History, point: Point, first: Start | None
    ) -> None:
        """Run a future once more, in a fresh emulator that goes to the fork from another state.

        :raises DivergenceError: when anything in it differs.
        """
        replayer = self._recording.replayer
        with checking.apart(replayer, origin, point, first) as player:
            future = self._future(job, origin, point)
            player.history = future.history
            code = self._play(player, future)
            digest = player.computer.digest().hex()
            draw = future.draw(player.place.at)
            again = Outcome(draw, digest, job.number, future.seen, code)
            if again != outcome:
                words = replayer.named(first), replayer.named(player.since)
                what = "in another state, or heard other events,"
                raise checking.difference(replayer, what, outcome.draw.end, *words)

    def _future(self, job: FutureSpec, origin: History, point: Point) -> _Future:
        judge = self._judge(origin, point).fresh()
        return _Future(job, judge, self._history(job, origin, point, judge))

    def _stand(self, job: FutureSpec) -> tuple[Player, History, Point]:
        """A player where a future begins, whose state is kept for the next one from there; and the
        history and place of that.
        """
        started = time.perf_counter()
        replayer = self._recording.replayer
        origin = replayer.root if job.since is None else self._way(job, job.since)
        point = origin.point(job.begin)
        player = replayer.bring(origin, point)
        replayer.remember(player)
        self.shares.rewind += time.perf_counter() - started
        return player, origin, point

    def _way(self, job: FutureSpec, since: int) -> History:
        """What leads from the fork to where a future is no longer the same as others."""
        given = [each for each in job.inputs if each.at < since]
        key = msgspec.msgpack.encode((job.at, since, given))
        way = self._ways.get(key)
        if way is None:
            replayer = self._recording.replayer
            point = replayer.root.point(job.at)
            way = replayer.root.branch(point)
            way.inputs[point.count :] = given
            replayer.play(way, since)
            self._ways[key] = way
            if len(self._ways) > _WAYS:
                self._ways.popitem(last=False)
        return way

    def _judge(self, origin: History, point: Point) -> Judge:
        """A judge that knows what happened before."""
        at = point.at
        judge = self._judges.get((origin, at))
        if judge is None:
            run = self._recording
            horizon = self._horizon(at)
            if horizon <= at:
                raise BranchpointError(
                    f"a future from {format_vtime(at - run.origin)} s has its horizon at "
                    f"{format_vtime(horizon - run.origin)} s, which is not later"
                )
            past = Moment(run, origin, point).events.columns
            judge = self._failure.judge(Stretch(at, horizon, run.origin, past))
            self._judges[origin, at] = judge
            if len(self._judges) > _FORKS:
                self._judges.popitem(last=False)
        return judge

    def _history(self, job: FutureSpec, origin: History, point: Point, judge: Judge) -> History:
        """The timeline of the future: the recording's inputs to come, the seed, and commands."""
        history = origin.branch(point)
        inputs = [each for each in job.inputs if each.at >= job.begin]
        given = history.commands() + sum(i.kind == COMMAND for i in inputs)
        seeds = [] if job.seed is None else seeding(job.begin, job.seed, self._noise)
        recorded = history.inputs[point.count :] if job.recorded else []
        if seeds or any(i.kind == SEED for i in inputs):  # else it would be drawn again as recorded
            recorded = [i for i in recorded if i.kind != SEED]
        later = [*recorded, *inputs, *judge.probes(itertools.count(given + 1))]
        later.sort(key=lambda i: i.at)  # stable: what is due at the same instant keeps its order
        history.inputs[point.count :] = seeds + later
        return history

    def _play(self, player: Player, future: _Future) -> list[CodeRan]:
        """Run a future to its end; returns the code that ran, if it was asked for."""
        turned = future.job.turned
        if not turned:
            return self._play_on(player, future)
        with player.computer.watching() as watchers:
            watchers.turn(turned)
        try:
            self._play_on(player, future)
            with player.computer.watching() as watchers:
                ran = watchers.take()
            return [CodeRan(b"", lines(ran.bytecode), ran.untold, executed=ran.executed)]
        finally:
            if player.alive:
                with player.computer.watching() as watchers:
                    watchers.turn([])

    def _play_on(self, player: Player, future: _Future) -> list[CodeRan]:
        echo = self._recording.replayer.echo(future.history, wire.LATEST)
        if future.job.code:
            return self._play_covered(player, future, echo)
        judge = future.judge
        until = judge.stretch.horizon
        while True:
            self._run_to(until, player, future, echo)
            if judge.failed_at is not None or future.circling:
                return []
            if not judge.waiting or until >= judge.limit:
                judge.finish()
                return []
            until = min(judge.limit, until + wire.DRAIN)

    def _play_covered(self, player: Player, future: _Future, echo: Echo | None) -> list[CodeRan]:
        told = []
        with player.computer.watching() as watchers:
            watchers.begin()
        for instant in future.job.code:
            self._run_to(instant, player, future, echo)
            with player.computer.watching() as watchers:
                ran = watchers.take()
            code = ran.places.tobytes(), lines(ran.bytecode), ran.untold
            told.append(CodeRan(*code, decisions(ran.bytecode), ran.executed))
        return told

    def _run_to(self, until: int, player: Player, future: _Future, echo: Echo | None) -> None:
        """Run up to an instant (ns), or until it has failed."""
        shares = self.shares
        while player.place.at < until and future.judge.failed_at is None and not future.circling:
            player.take_inputs()
            instant = min(until, player.next_input())
            if future.job.most:
                instant = min(instant, player.place.at + _LOOK)
            started = time.perf_counter()
            try:
                player.run_to(instant, wire.DRAIN)
            except GuestEnded:
                self._hear(player, future, echo)
                future.end(player)
                if future.judge.failed_at is None:
                    raise
            else:
                self._hear(player, future, echo)
            future.circling = future.runs_wild(player)
            shares.run += time.perf_counter() - started

    def _hear(self, player: Player, future: _Future, echo: Echo | None) -> None:
        """Take what the guest has said; as long as it equals the recording, it is compared."""
        origin, said = self._recording.origin, player.mailbox.drain()
        if said or echo is not None:
            events = future.bound.events(said, origin)
            with self._recording.replayer.compared(player):
                if echo is not None:
                    echo.hear(events)
                    echo.finish(player.place.at, origin)
                future.see(news(future.history.log, events))


class _Died(Exception):
    """The emulator died, which says nothing about the future."""


class _Future:
    """What is remembered of a future while it runs."""

    def __init__(self, job: FutureSpec, judge: Judge, history: History) -> None:
        self.job = job
        self.judge = judge
        self.history = history
        self.bound = Bound(history.log.columns())
        self.causes: dict[str, int] = {}
        self.seen: dict[str, int] = {}
        self.circling = False
        """Whether it ended because too much byte code ran."""
        self._courses: dict[str, Any] = {}

    def runs_wild(self, player: Player) -> bool:
        """Whether more byte code ran than may."""
        if self.job.most is None:
            return False
        most, span = self.job.most
        passed = max(player.place.at - self.job.begin, span)
        with player.computer.watching() as watchers:
            return watchers.executed * span > most * passed

    def see(self, events: list[Event]) -> None:
        """Take in what the guest said."""
        if not events:
            return
        self._feed(events)

    def end(self, player: Player) -> None:
        """Take in that the guest has ended the machine."""
        origin = self.judge.stretch.origin
        self._feed([end_of_machine(player.place.at, player.computer.ended, origin)])

    def _feed(self, events: list[Event]) -> None:
        self.judge.feed(events)
        for event in events:
            self._follow(event)

    def _follow(self, event: Event) -> None:
        who = f"{event.source} {event.container}"
        course = self._courses.get(who)
        if course is None:
            course = self._courses[who] = blake3()
        if event.type == LOG:
            said = _CLOCK_TIMES.sub("", event.text) if ":" in event.text else event.text
        else:
            said = signature(event)
        failed_at = self.judge.failed_at  # what happens then is the failure, not a cause of it
        if failed_at is None or event.at < failed_at:
            self._note(event, said)
        course.update(f"{event.type} {event.stream} {said}\n".encode())

    def _note(self, event: Event, said: str) -> None:
        """Something that may be a cause of the failure."""
        if event.type == LOG:
            if self.job.lines and len(self.seen) < MOST_SEEN and (line := line_signature(event)):
                self.seen.setdefault(line, event.at)
        elif said:
            if len(self.causes) < MOST_CAUSES:
                self.causes.setdefault(said, event.at)
            if self.job.lines:
                self.seen.setdefault(said, event.at)

    def draw(self, end: int) -> Draw:
        """The future, as it is kept."""
        failed_at = self.judge.failed_at
        if failed_at is None:
            early = self.job.code or self.circling
            return self._draw("censored" if early else "passed", None, end)
        # The agent may have been about to say it at the fork.
        return self._draw("failed", max(failed_at, self.job.begin), end)

    def censored(self, end: int, why: MachineError) -> Draw:
        """The same for a future that did not get to its horizon."""
        causes = dict(list(self.causes.items())[: MOST_CAUSES - 1])
        self.causes = {**causes, f"censored: {why.message}"[:LONGEST_CAUSE]: end}
        return self._draw("censored", None, end)

    def _draw(self, verdict: Any, failed_at: int | None, end: int) -> Draw:
        whole = blake3()
        for who in sorted(self._courses):
            whole.update(f"{who}\0".encode() + self._courses[who].digest())
        at, end = self.job.begin, max(end, failed_at or 0)
        return Draw(
            at=at,
            seed=self.job.seed or 0,
            verdict=verdict,
            failed_at=failed_at,
            end=end,
            course=whole.hexdigest(16),
            causes=list(self.causes),
            # The agent may have been about to say the first ones at the fork.
            instants=[min(max(instant, at), end) for instant in self.causes.values()],
        )
