"""What code ran can be told, and telling it changes nothing in any history."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from busy import BUSY

import branchpoint as bp
from branchpoint.soak import soak, subject_of

MS = 1_000_000
LISTED = "ls /usr/lib; du /etc"


@pytest.fixture
def covered(small_path: Path, copy_of: Callable[[Path], Path]) -> Callable[[], bp.Recording]:
    """Opens a recording whose computers tell what code ran."""
    path = copy_of(small_path)

    def opened() -> bp.Recording:
        run = bp.open(path)
        run.replayer.cover()
        return run

    return opened


def told(run: bp.Recording, script: str, at: float = 2) -> set[int]:
    """The code that runs in a quarter of a virtual second with this command in it."""
    branch = run.at(at).branch(3)
    bp.bash(script).run_in_background(branch, "server")
    run.replayer.play(branch._history, branch.end.at + 250 * MS)
    assert run.replayer.ran is not None
    return set(run.replayer.ran[0].tolist())


def digest(branch: bp.Branch) -> str:
    replayer, history = branch.run.replayer, branch._history
    return replayer.bring(history, history.tip).computer.digest().hex()


def test_a_computer_that_tells_is_in_the_same_states(
    small: bp.Recording, covered: Callable[[], bp.Recording]
) -> None:
    """All that is recorded, and a branch with a command in it."""
    expected = small.at(1).branch(5)
    bp.bash(LISTED).run(expected, "server")
    expected.wait(2)
    with covered() as run:
        run.at(1).branch().wait(0.1)  # it is not the first computer of this recording
        run.replayer.cover()
        assert bp.verify(run).states > 0
        branch = run.at(1).branch(5)
        bp.bash(LISTED).run(branch, "server")
        branch.wait(2)
        assert run.replayer.ran is not None and len(run.replayer.ran[0]) > 500
        assert digest(branch) == digest(expected)


@pytest.mark.parametrize("step", [7 * MS, 1_234_567])
def test_it_does_not_depend_on_where_the_emulator_is_stopped(
    covered: Callable[[], bp.Recording], step: int
) -> None:
    with covered() as run:
        whole = told(run, LISTED)
        branch = run.at(2).branch(3)
        bp.bash(LISTED).run_in_background(branch, "server")
        player = run.replayer.bring(branch._history, branch._history.tip)
        player.computer.ran()
        begin = player.place.at
        for instant in (*range(begin + step, begin + 250 * MS, step), begin + 250 * MS):
            player.run_to(instant)
            player.computer.digest()
        assert set(player.computer.ran()[0].tolist()) == whole
        player.close()


def test_it_does_not_depend_on_what_ran_before(covered: Callable[[], bp.Recording]) -> None:
    with covered() as run:
        first = told(run, LISTED)
        assert len(first) > 500
    with covered() as run:
        for at in (0.5, 1, 3):
            told(run, "cat /srv/greeting | busybox sort", at)
        assert told(run, LISTED) == first


def test_other_programs_are_other_places(covered: Callable[[], bp.Recording]) -> None:
    with covered() as run:
        listed, sorted_ = told(run, LISTED), told(run, "busybox sort /srv/greeting")
        assert len(listed - sorted_) > 100 and len(sorted_ - listed) > 100


def test_replays_under_the_worst_conditions_are_identical(small: bp.Recording) -> None:
    subject = subject_of(small, 3)
    telling = replace(subject, start=functools.partial(subject.start, covered=True))
    report = soak(telling, 20, busy=BUSY)
    assert (report.replays, report.divergences) == (20, [])
