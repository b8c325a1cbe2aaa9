"""Until something is done to a branch, it repeats the recording, including all events.

Between the last known state and the fork, only the recorded events are known.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.events.event import Event
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import failure

Change = Callable[[Event], list[Event]]
Forge = Callable[[Change], tuple[bp.Recording, Event]]
SERVER = "server.1"
MS = 1_000_000  # ns
NEAR = 100 * MS  # more than the distance of visits from the event that is changed


@pytest.fixture
def forged(unvisited: Path) -> Iterator[Forge]:
    """Opens the recording with one event changed; also returns the original event."""
    opened: list[bp.Recording] = []

    def forge(change: Change) -> tuple[bp.Recording, Event]:
        path = unvisited
        with bp.open(path) as run:
            events, kept = list(run.events), run.files.checkpoints

        def is_apart(event: Event) -> bool:
            """Whether what is visited around it is replayed from before it, with any guest."""
            return not any(event.at - NEAR <= at <= event.at + NEAR for at in kept)

        place = next(i for i, e in enumerate(events) if e.vtime > 2.5 and is_apart(e))
        genuine = events[place]
        events[place : place + 1] = change(genuine)
        shutil.rmtree(path / "events")
        with RecordingFiles.open(path, write=True) as files:
            files.events.add(events)
            files.save(files.manifest)
        run = bp.open(path)
        opened.append(run)
        return run, genuine

    yield forge
    for run in opened:
        run.close()


def retold(event: Event) -> list[Event]:
    return [msgspec.structs.replace(event, text="never was")]


def later(event: Event) -> list[Event]:
    return [msgspec.structs.replace(event, at=event.at + 1)]


def gone(event: Event) -> list[Event]:
    return []


def doubled(event: Event) -> list[Event]:
    return [event, msgspec.structs.replace(event, at=event.at + MS, text="never was")]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (retold, "expected '.*never was', heard '.*got: hello"),
        (later, "expected '.*hello.*', heard '.*hello"),
        (gone, "expected nothing, heard '.*hello"),
    ],
)
def test_what_is_said_on_the_way_to_a_branch_is_compared(
    forged: Forge, change: Change, told: str
) -> None:
    run, event = forged(change)
    known = run.replayer.vtime(max(at for at in run.files.digests if at < event.at))
    when = run.replayer.vtime(event.at)
    with pytest.raises(bp.DivergenceError, match=told) as found:
        bash("echo here").run(run.at_ns(event.at + 20 * MS).branch(), SERVER)
    start = f"{run.path}: at {when} the guest, replayed from the checkpoint at {known}, does not"
    assert found.value.message.startswith(start)
    assert "recorded with QEMU" in found.value.message
    earlier = run.at_ns(event.at - 20 * MS).branch()
    assert bash("echo here").run(earlier, SERVER).output == "here\n"


def test_so_is_silence(forged: Forge) -> None:
    """The recording has one event more than the machine emits."""
    run, event = forged(doubled)
    with pytest.raises(bp.DivergenceError, match=r"expected '.*never was', heard nothing"):
        bash("echo here").run(run.at_ns(event.at + 20 * MS).branch(), SERVER)


@pytest.mark.parametrize("change", [retold, later, gone])
def test_what_a_branch_says_up_to_the_first_action_is_compared(
    forged: Forge, change: Change
) -> None:
    run, event = forged(change)
    branch = run.at_ns(event.at - 20 * MS).branch()
    with pytest.raises(bp.DivergenceError, match="does not say what it said when it was recorded"):
        branch.wait(milliseconds=40)
    assert branch.end.at < event.at
    acted = run.at_ns(event.at - 20 * MS).branch()
    bash("echo here").run(acted, SERVER)
    acted.wait(milliseconds=40)  # something was done to it: its events may differ now


def test_the_recorded_future_that_a_worker_runs_is_compared(forged: Forge) -> None:
    run, event = forged(retold)
    futures = Futures(run, failure(log="this is never said"), lambda at: at + 300 * MS)
    at = event.at - 20 * MS
    with pytest.raises(bp.DivergenceError, match="never was"):
        futures.run(FutureSpec(at, None))
    assert futures.run(FutureSpec(at, 1)).draw.verdict == "passed"


def test_where_events_are_lost_nothing_is_compared(
    small_path: Path, copy_of: Callable[[Path], Path]
) -> None:
    path = copy_of(small_path)
    for file in (path / "events").iterdir():
        file.unlink()
    with bp.open(path) as run:
        assert run.gaps
        assert bash("echo here").run(run.at(2.6).branch().wait(0.2), SERVER).output == "here\n"


@pytest.mark.parametrize("after", [0, 100, 5000])
def test_an_event_at_the_fork_is_heard_once(small: bp.Recording, after: int) -> None:
    """It is dated some hundred instructions before the host can read it."""
    event = small.events.where(container="client.1", type="log").after(2.5).first
    assert event is not None
    branch = small.at_ns(event.at + after).branch().wait(0.1)
    assert [each.at for each in branch.events].count(event.at) == 1
    assert branch.events.map(str) == small.at(branch.end).events.map(str)
    acted = small.at_ns(event.at + after).branch(5).wait(0.1)
    assert [each.at for each in acted.events].count(event.at) == 1


def test_a_future_does_not_fail_of_what_lies_before_it(small: bp.Recording) -> None:
    event = small.events.where(container="client.1", type="log").after(2.5).first
    assert event is not None
    what = failure(log="got: hello", container="client")
    draw = Futures(small, what, lambda at: at + 400 * MS).run(FutureSpec(event.at, 3)).draw
    assert draw.verdict == "failed" and draw.failed_at is not None
    assert draw.failed_at > event.at
