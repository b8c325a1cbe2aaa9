"""``branchpoint verify``: a recording replayed from power-on and compared with what it says.

Then every known state is restored, as a rewind does, and compared again (:mod:`restoring`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from branchpoint import progress
from branchpoint.errors import DivergenceError, MachineError
from branchpoint.events.listing import inert
from branchpoint.machine.state import State
from branchpoint.sharing.bundle.differences import differences
from branchpoint.sharing.bundle.opening import briefly
from branchpoint.sharing.proof.restoring import Restoring, Stretch
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.recording import Recording

_SHOWN = 200  # characters of an event in a report
_OWN = 64  # states that are kept in memory, where the recording has no checkpoints
_BEYOND = 500_000_000  # ns that are run on from the last state, for which nothing is recorded


@dataclass(frozen=True, repr=False)
class Verified:
    """The result of verifying a recording. True when all of it is as recorded."""

    name: str
    """Of the recording."""
    states: int
    """Machine states whose digest is known."""
    equal: int
    """How many of them were equal in the replay, in order of time, up to the first that differs."""
    checkpoints: int
    """Stored machine states."""
    events: int
    """Events that the replay saw, up to where it ended."""
    restorable: int = 0
    """States to enter: every checkpoint and, where a state is known but not stored, the replay's
    own state there."""
    restored: int = 0
    """How many of them were entered, in shuffled order in one emulator, and ran on to the next
    known state as the replay from power-on did."""
    restored_afresh: int = 0
    """The same, each in a fresh emulator."""
    problems: list[str] = field(default_factory=list)
    """What is not as recorded, in words."""
    notes: list[str] = field(default_factory=list)
    """What might explain it: differences between this computer and the one that recorded."""

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.equal} of {self.states} machine states equal, "
            f"{self.checkpoints} checkpoints read, {self.events} events compared",
            f"  entered, and the same up to the next known state: {self.restored} of "
            f"{self.restorable} states in one emulator, {self.restored_afresh} of "
            f"{self.restorable} in fresh ones",
            *(f"  differs: {problem}" for problem in self.problems),
            *(f"  note: {note}" for note in self.notes),
            "it replays as recorded" if self else "it does NOT replay as recorded",
        ]
        return "\n".join(lines)

    __repr__ = __str__


def verify(recording: Recording | Path | str) -> Verified:
    """Replay a recording, or the one in a bundle, from its beginning to its end, and compare.

    Compared are the digests of all memory, registers and devices at every instant at which one is
    known, and every event. Then every stored checkpoint is restored, in shuffled order, and run on
    to the next known state, with the same comparison on the way: all in one emulator, and each in a
    fresh one. Where a state is known but not stored, as in a bundle, that of the replay is taken.
    This takes about four times the CPU time of recording; three quarters of it are shared among the
    cores. A bundle is only unpacked temporarily; the images of a whole one stay in the cache.

    :raises BranchpointError: when it cannot be replayed at all here.
    """
    with briefly(recording) as run:
        return _verify(run)


def _verify(run: Recording) -> Verified:
    length = (run.manifest.end - run.earliest) / 1e9
    with progress.task(f"verifying {run.path.name}", 3 * length, "virtual s") as task:
        forward = _Forward(run)
        forward.run(task)
        problems = [f"damage: {damage}" for damage in run.files.damage] + forward.problems
        events = forward.compare_events(problems)
        stretches = forward.stretches() if forward.complete else []
        restoring = Restoring(run.replayer, forward.branch._history, stretches)
        again = sum(each.end - each.start for each in stretches) / 1e9
        task.total = length + 2 * again  # each in this emulator, and in a fresh one

        def report() -> None:
            done = restoring.in_one + restoring.afresh
            note = f"states entered: {done} of {2 * len(stretches)}"
            task.update(length + restoring.passed / 1e9, note)

        if stretches:
            restoring.run(report)
    problems += restoring.problems
    return Verified(
        name=run.path.name,
        states=len(forward.marks),
        equal=forward.equal,
        checkpoints=len(run.files.checkpoints),
        events=events,
        restorable=len(forward.starts),
        restored=restoring.in_one,
        restored_afresh=restoring.afresh,
        problems=problems,
        notes=differences(run) if problems else [],
    )


class _Forward:
    """The replay from power-on."""

    def __init__(self, run: Recording) -> None:
        end = run.manifest.end
        self.branch: Branch = run.at_ns(run.earliest).branch()
        self.marks = sorted(at for at in run.files.digests if run.earliest <= at <= end)
        """Instants (absolute ns) at which the machine's state is known."""
        stored = {at for at in run.files.checkpoints if run.earliest <= at <= end}
        own = [at for at in sorted({run.earliest, *self.marks}) if at not in stored]
        own = own[:: -(-len(own) // _OWN) or 1]
        self.starts = sorted([*stored, *own])
        """Instants at which there is a state to enter."""
        self.equal = 0
        self.problems: list[str] = []
        self.complete = False
        """Whether it came to the end as recorded, not counting events."""
        self._run = run
        self._own: dict[int, State | None] = dict.fromkeys(own)

    def run(self, task: progress.Task) -> None:
        """Replay, and keep the states that are not stored."""
        run, history = self._run, self.branch._history
        try:
            self._keep()
            for at in self.marks:
                task.update((history.tip.at - run.earliest) / 1e9, f"{self.equal} states equal")
                run.replayer.play(history, at, events=False)
                self._expect_compared(at)
                self._keep()
                self.equal += 1
            run.replayer.play(history, run.manifest.end, events=False)
            self._expect_compared(run.manifest.end)
            self.complete = True
        except DivergenceError as error:
            self.problems.append(error.message)

    def _expect_compared(self, at: int) -> None:
        """Only a machine that got all that was recorded is compared with the recording.

        :raises DivergenceError: when it did not.
        """
        shared = self._run.replayer.shared(self.branch._history, at)
        if shared < at:
            raise DivergenceError(
                f"after {self._run.replayer.vtime(shared)} the replay did not get what was recorded"
            )

    def _keep(self) -> None:
        replayer, history = self._run.replayer, self.branch._history
        if history.tip.at in self._own:
            with replayer.lock:
                player = replayer.bring(history, history.tip)
                self._own[history.tip.at] = player.computer.capture()

    def compare_events(self, problems: list[str]) -> int:
        """How many events are as recorded; the first that is not becomes a problem."""
        recorded = self._run.events.where(end=self.branch.end)
        count = 0
        for ours, theirs in zip_longest(self.branch.events, recorded):
            if ours != theirs:
                problems.append(
                    f"an event: recorded {inert(str(theirs), _SHOWN)!r}, now "
                    f"{inert(str(ours), _SHOWN)!r}"
                )
                break
            count += 1
        return count

    def stretches(self) -> list[Stretch]:
        """From each state to enter to the next that is known; from the last one a bit beyond the
        end of the recording, if its machine still runs there.
        """
        known = dict.fromkeys(self.marks, b"")
        end = self._run.manifest.end
        if end not in known:
            known[end] = self._digest()
        if self.starts[-1] == end:
            with contextlib.suppress(MachineError):  # it may have stopped for good
                self._run.replayer.play(self.branch._history, end + _BEYOND, events=False)
                known[end + _BEYOND] = self._digest()
        ends = sorted(known)
        found = []
        for start in self.starts:
            later = [at for at in ends if at > start]
            end = later[0] if later else start
            found.append(Stretch(start, end, known.get(end, b""), self._own.get(start)))
        return found

    def _digest(self) -> bytes:
        replayer, history = self._run.replayer, self.branch._history
        with replayer.lock:
            return replayer.bring(history, history.tip).computer.capture().digest(replayer.pool)
