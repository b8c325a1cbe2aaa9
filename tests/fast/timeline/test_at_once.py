"""Several processes have one recording open and add to it: nothing is lost, and none waits."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from recordings import ORIGIN, SECOND, event, head, make

import branchpoint as bp
from branchpoint.futures.draws import Draw, Draws, Question, questions
from branchpoint.store import ledger
from branchpoint.timeline.directory import Future, RecordingFiles

QUESTION = Question(failure="an exit of db.1", failure_key="ab12", horizon=ORIGIN + 12 * SECOND)
USER = """
import json, sys
sys.path[:0] = sys.argv[3:]
import branchpoint as bp
from branchpoint.futures.curves import draws_of
from branchpoint.futures.draws import Draw
from recordings import ORIGIN, SECOND
from test_at_once import QUESTION
run, me, number = bp.open(sys.argv[1]), int(sys.argv[2]), 0
draws = draws_of(run, QUESTION)
while True:
    branch = run.at(5).branch()
    bp.bash(f"echo {me} {number}").run_in_background(branch)
    at = ORIGIN + SECOND
    draw = Draw(at=at, seed=me << 32 | number, verdict="passed", end=at + SECOND)
    draws.add(draw)
    print(json.dumps([branch.id, draw.seed, run.warnings]), flush=True)
    number += 1
"""
PROCESSES = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return make(tmp_path / "ten.branchpoint")


def added(path: Path, rng: random.Random) -> Iterator[tuple[str, int]]:
    """What the processes have reported as added until each was killed at some instant."""
    here = [str(folder) for folder in Path(__file__).parents[:2]]
    users = [
        subprocess.Popen(
            [sys.executable, "-c", USER, str(path), str(number), *here], stdout=subprocess.PIPE
        )
        for number in range(PROCESSES)
    ]
    told = []
    for user in users:  # all of them work before the first one ends
        assert user.stdout is not None
        told.append(user.stdout.readline())
    for user in rng.sample(users, len(users)):
        assert user.stdout is not None
        told += [user.stdout.readline() for _ in range(rng.randrange(20))]
        user.send_signal(signal.SIGKILL)
    for user in users:
        assert user.stdout is not None
        told += user.stdout.readlines()
        user.wait()
        user.stdout.close()
    for line in told:
        if line.endswith(b"\n"):  # otherwise it was killed while it wrote this line
            id_, seed, warnings = json.loads(line)
            assert warnings == []
            yield id_.partition("@")[0], seed


def test_eight_processes_that_are_killed_lose_nothing(path: Path) -> None:
    rng = random.Random(5)
    names: set[str] = set()
    seeds: set[int] = set()
    with bp.open(path) as before:
        for _ in range(int(os.environ.get("BRANCHPOINT_TEST_KILLS", "1"))):
            for name, seed in added(path, rng):
                names.add(name)
                seeds.add(seed)
        assert len(names) == len(seeds) >= PROCESSES
        assert names <= before.files.futures.keys(), "what others add later is known, too"
        draws = Draws(before.files, QUESTION)
        assert seeds <= {draw.seed for draw in draws}
        assert before.warnings == []
    with RecordingFiles.open(path) as after:
        assert names <= after.futures.keys()
        assert questions(after) == [QUESTION]
        assert after.warnings == []


def test_a_recording_that_is_being_made_keeps_the_branches_of_others(path: Path) -> None:
    branch = Future(id="b9", parent=None, at=ORIGIN)
    with RecordingFiles.open(path, write=True) as recorder, bp.open(path) as other:
        other.files.add_future(branch)
        recorder.events.add([event(10)])
        recorder.save(head(end=ORIGIN + 10 * SECOND))
        assert recorder.futures["b9"] == branch
        with pytest.raises(bp.RecordingError, match="reading only"):
            other.files.save(head())


def test_draws_of_others_are_not_drawn_again(path: Path) -> None:
    draw = Draw(at=ORIGIN, seed=3, verdict="passed", end=ORIGIN + SECOND)
    with (
        RecordingFiles.open(path, keep=True) as one,
        RecordingFiles.open(path, keep=True) as other,
    ):
        mine, theirs = Draws(one, QUESTION), Draws(other, QUESTION)
        theirs.add(draw)
        assert mine.get(draw.at, 3) is None
        mine.refresh()
        assert mine.get(draw.at, 3) == draw
        mine.add(draw)
    assert (path / "curves" / f"{QUESTION.key}.jsonl").read_bytes().count(b"\n") == 1


def test_a_process_that_is_halted_holds_nobody_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the lock and has written half a line, like a process in a debugger."""
    monkeypatch.setattr(ledger, "_PATIENCE", 0.01)
    with RecordingFiles.open(path, keep=True) as files:
        before = len(files.futures)
        halted = os.open(path / "futures.jsonl", os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(halted, fcntl.LOCK_EX)
            os.write(halted, b"0123456789abcdef")
            with RecordingFiles.open(path) as reader:
                assert len(reader.futures) == before
                assert reader.warnings == [], "somebody is writing it"
            files.add_future(Future(id="c1", parent=None, at=ORIGIN))
        finally:
            os.close(halted)
    with RecordingFiles.open(path) as reader:
        assert "c1" in reader.futures and len(reader.futures) == before + 1
        (warning,) = reader.warnings
        assert "is left out" in warning


def test_a_line_that_is_being_written_is_read_when_it_is_whole(path: Path) -> None:
    with RecordingFiles.open(path, keep=True) as writer:
        before = (path / "futures.jsonl").read_bytes()
        writer.add_future(Future(id="c1", parent=None, at=ORIGIN))
    line = (path / "futures.jsonl").read_bytes().removeprefix(before)
    (path / "futures.jsonl").write_bytes(before)
    with RecordingFiles.open(path) as reader, (path / "futures.jsonl").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for part in (line[:10], line[10:40], line[40:]):
            assert "c1" not in reader.futures
            assert reader.warnings == []
            file.write(part)
            file.flush()
        assert "c1" in reader.futures


def test_where_nothing_may_be_written_that_is_said(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def may(name: object, mode: int) -> bool:
        return mode != os.W_OK

    monkeypatch.setattr(os, "access", may)  # as on a disk mounted read-only; root may write anyway
    with bp.open(path) as run:
        assert run.warnings == [f"{path} is not writable: branches and curves are not kept in it"]
        branch = run.at(5).branch()
        bp.bash("true").run_in_background(branch)
        before = (path / "futures.jsonl").read_bytes()
        assert branch.id
        Draws(run.files, QUESTION).add(Draw(at=ORIGIN, seed=3, verdict="passed", end=ORIGIN + 1))
        assert (path / "futures.jsonl").read_bytes() == before
        assert not (path / "curves").exists()


def test_a_branch_that_there_is_no_room_for_is_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bp.open(path) as run:
        monkeypatch.setattr(ledger, "_LIMIT", (path / "futures.jsonl").stat().st_size + 10)
        branch = run.at(5).branch()
        bp.bash("true").run_in_background(branch)
        name = branch.id.partition("@")[0]
        (warning,) = run.warnings
        assert f"the branch {name} is not kept: " in warning and "is full" in warning
        assert run.warnings == [warning]
