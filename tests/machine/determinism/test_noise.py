"""Scheduling noise: threads interleave differently, and one seed always gives one interleaving."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
from agent import MIXED, MS, NOISE, future, say
from busy import BUSY
from places import HERE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest import wire
from branchpoint.guest.compiler import static_program
from branchpoint.machine.computer import Computer
from branchpoint.soak import Subject, soak

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with a race between two threads, see its source."""
    program = tmp_path_factory.mktemp("programs") / "lost_updates"
    program.write_bytes(static_program([HERE / "programs" / "lost_updates.c"]))
    return program


def race(run: bp.Recording, program: Path, *commands: bytes) -> tuple[int, int]:
    """How many updates were lost, and ns of the longest one."""
    branch = run.at(1).branch()
    branch.inject_file("/race", program, "a.1", mode=0o755)
    lost, longest = bash("/race").run(say(branch, *commands), "a.1").output.split()
    return int(lost), int(longest)


def test_noise_makes_threads_interleave(idle: bp.Recording, racing: Path) -> None:
    quiet = [race(idle, racing, wire.seed(b"%d" % n)) for n in range(6)]
    noisy = [race(idle, racing, wire.seed(b"%d" % n), NOISE) for n in range(6)]
    # With noise, one run in twelve loses nothing; without it, an update is hardly ever interrupted.
    assert sum(lost for lost, _ in noisy) > sum(lost for lost, _ in quiet)
    assert max(longest for _, longest in noisy) > max(longest for _, longest in quiet)
    assert len(set(noisy)) > 1
    assert race(idle, racing, wire.seed(b"4"), NOISE) == noisy[4]
    assert race(idle, racing, wire.seed(b"4"), NOISE, wire.noise(0, MS))[0] == quiet[4][0]


# -- determinism


def test_a_future_full_of_faults_replays_identically_under_disturbance(idle: bp.Recording) -> None:
    branch = future(idle, MIXED, NOISE).wait(4)
    replayer = idle.replayer
    state = replayer.bring(
        branch._history, branch._history.point(branch.start.at)
    ).computer.capture()
    start = functools.partial(
        Computer, replayer.snapshot.spec, template=replayer.snapshot.template, pool=replayer.pool
    )
    subject = Subject(
        "faults and noise", branch._history, replayer.pool, start, state, branch.end.at
    )
    report = soak(subject, 20, busy=BUSY)
    assert report.replays == 20
    assert report.divergences == []
