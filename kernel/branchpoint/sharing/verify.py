"""``branchpoint verify``: a recording replayed from power-on and compared with what it says."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from branchpoint import progress
from branchpoint.errors import DivergenceError, RecordingError
from branchpoint.sharing.differences import differences
from branchpoint.sharing.opening import briefly
from branchpoint.timeline.clock import format_vtime
from branchpoint.timeline.listing import inert
from branchpoint.timeline.recording import Recording

_SHOWN = 200  # characters of an event in a report


@dataclass(frozen=True)
class Verified:
    """What a replay said about a recording. True when all of it is as recorded."""

    name: str
    """Of the recording."""
    states: int
    """Machine states whose digest is known."""
    equal: int
    """How many of them the replay had as well, in order of time, up to the first that differs."""
    checkpoints: int
    """Stored machine states."""
    events: int
    """Events that the replay saw, up to where it ended."""
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
            *(f"  differs: {problem}" for problem in self.problems),
            *(f"  note: {note}" for note in self.notes),
            "it replays as recorded" if self else "it does NOT replay as recorded",
        ]
        return "\n".join(lines)


def verify(recording: Recording | Path | str) -> Verified:
    """Replay a recording, or the one in a bundle, from its beginning to its end, and compare.

    Compared are the digests of all memory, registers and devices at every instant at which one
    is known, every event, and every stored checkpoint. Takes about as long as recording did. A
    bundle is unpacked for this only; the images of a whole one stay in the cache.

    :raises BranchpointError: when it cannot be replayed at all here.
    """
    with briefly(recording) as run:
        return _verify(run)


def _verify(run: Recording) -> Verified:
    problems = [f"damage: {damage}" for damage in run.files.damage]
    equal, events = 0, 0
    marks = sorted(at for at in run.files.digests if run.earliest <= at <= run.manifest.end)
    branch = run.at_ns(run.earliest).branch()
    try:
        length = (run.manifest.end - run.earliest) / 1e9
        with progress.task(f"verifying {run.path.name}", length, "virtual s") as task:
            for at in marks:
                task.update((branch.end.at - run.earliest) / 1e9, f"{equal} states equal")
                run.replayer.play(branch._history, at)
                equal += 1
            run.replayer.play(branch._history, run.manifest.end)
    except DivergenceError as error:
        problems.append(error.message)
    seen, recorded = branch.events, run.events.where(end=branch.end)
    for ours, theirs in zip_longest(seen, recorded):
        if ours != theirs:
            problems.append(
                f"an event: recorded was {inert(str(theirs), _SHOWN)!r}, now it is "
                f"{inert(str(ours), _SHOWN)!r}"
            )
            break
        events += 1
    for at in run.files.checkpoints:
        try:
            run.replayer.load(at)
        except RecordingError as error:
            when = format_vtime(at - run.origin)
            problems.append(f"the checkpoint at {when} s: {error.message}")
    return Verified(
        name=run.path.name,
        states=len(marks),
        equal=equal,
        checkpoints=len(run.files.checkpoints),
        events=events,
        problems=problems,
        notes=differences(run) if problems else [],
    )
