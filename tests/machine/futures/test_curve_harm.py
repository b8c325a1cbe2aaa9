"""A curve whose process or workers are killed: drawn futures stay, and a second call continues."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import ROUNDS, alive, emulators_of, wait_for, workers_of

import branchpoint as bp
from branchpoint.futures.curve import Curve

DRAW = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
import branchpoint as bp
from test_curve_harm import draw
draw(bp.open(sys.argv[1]))
"""


def draw(run: bp.Recording) -> Curve:
    """A curve of futures that fail with probability 10/16: by the first digit of a random UUID.

    The shell does it without starting a program, each of which would take longer than the rest.
    """
    command = "read uuid </proc/sys/kernel/random/uuid; case $uuid in [0-5]*) ;; *) false ;; esac"
    odds = bp.failure(shell=command, container="server.1", after=0.1)
    return run.likelihood(odds, start=1, end=2, horizon=0.2, points=3, precision=0.3)


def drawn(path: Path) -> list[bytes]:
    """The complete lines of the ledger of draws."""
    files = list((path / "curves").glob("*.jsonl"))
    return files[0].read_bytes().split(b"\n")[:-1] if files else []


def gone(processes: list[int]) -> None:
    """Wait until all of them are gone."""
    wait_for(lambda: not any(map(alive, processes)))


@pytest.fixture(scope="module")
def undisturbed(small_path: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("undisturbed") / small_path.name
    shutil.copytree(small_path, path)
    with bp.open(path) as run:
        curve = draw(run)
        assert 0.3 < curve.frame["p"].mean() < 0.9
        return str(curve.frame)


@pytest.mark.long
@pytest.mark.parametrize("round", ROUNDS)
def test_the_process_is_killed(
    small_path: Path, undisturbed: str, copy_of: Callable[[Path], Path], round: int
) -> None:
    path = copy_of(small_path)
    chance = random.Random(round)
    known: list[bytes] = []
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", DRAW, path])
        enough = len(known) + chance.randrange(1, 9)
        wait_for(lambda enough=enough: len(drawn(path)) >= enough, 120)
        workers = workers_of(process.pid)
        emulators = [each for worker in workers for each in emulators_of(worker)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        gone([*workers, *emulators])
        now = drawn(path)
        assert now[: len(known)] == known, "what was there is neither lost nor drawn again"
        known = now
    with bp.open(path) as run:
        assert str(draw(run).frame) == undisturbed
        assert not run.warnings
    lines = drawn(path)
    assert lines[: len(known)] == known
    assert len(set(lines)) == len(lines)


@pytest.mark.parametrize("round", ROUNDS)
def test_workers_are_killed(
    small_path: Path, undisturbed: str, copy_of: Callable[[Path], Path], round: int
) -> None:
    path = copy_of(small_path)
    chance = random.Random(round)
    process = subprocess.Popen([sys.executable, "-c", DRAW, path])
    wait_for(lambda: len(drawn(path)) >= chance.randrange(1, 20), 120)
    victims = workers_of(process.pid)
    if victims:
        os.kill(chance.choice(victims), signal.SIGKILL)
    assert process.wait() == 0
    with bp.open(path) as run:
        before = drawn(path)
        assert str(draw(run).frame) == undisturbed
        assert drawn(path) == before, "the curve was complete"
