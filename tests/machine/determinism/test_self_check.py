"""A branch run a second time, from an earlier state and in another emulator, is the same.

Differences are noticed. This is shown here by changing one of the two runs, and in
test_lost_flags.py with incomplete states.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.guest import wire
from branchpoint.guest.boot import mailbox_address
from branchpoint.machine.computer import Computer
from branchpoint.sharing.proof.rehearsal import rehearse
from branchpoint.timeline.failures import failure
from branchpoint.timeline.replaying import checking

SERVER, CLIENT = "server.1", "client.1"
DRAW = "head -c 16 /dev/urandom | od -An -tx1; date +%s.%N"


@pytest.fixture
def run(
    small_path: Path, copy_of: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[bp.Recording]:
    """None of its states is in memory yet, and only what a test asks for is checked."""
    monkeypatch.setenv(checking.SETTING, "0")
    with bp.open(copy_of(small_path)) as run:
        yield run


def before(run: bp.Recording, vtime: float) -> list[str]:
    """The checkpoints up to an instant as text, the last one first; then the boot snapshot, again
    and again. On a fast computer there are few checkpoints.
    """
    stored = [at for at in run.files.checkpoints if at <= run.at(vtime).at]
    known = [f"the checkpoint at {run.replayer.vtime(at)}" for at in reversed(stored)]
    booted = run.replayer.snapshot.state.at
    return known + [f"the boot snapshot at {run.replayer.vtime(booted)}"] * 2


def test_a_branch_with_actions_is_the_same_again(run: bp.Recording) -> None:
    branch = run.at(4.2).branch(seed=3)
    bash(DRAW).run(branch, SERVER)
    tip = branch.end
    found = branch.check()
    assert (found.first, found.again) == (before(run, 4.2)[0], before(run, 4.2)[2])
    assert found.events > 3
    player = run.replayer.bring(branch._history, branch._history.tip)
    assert found.digest == player.computer.capture().digest(run.replayer.pool).hex()
    assert branch.end == tip and bash("echo on").run(branch, SERVER).output == "on\n"
    assert str(found).startswith(f"the same from {found.again} in another emulator")


@pytest.mark.long
def test_so_is_all_that_commands_and_terminals_write(run: bp.Recording) -> None:
    branch = run.at(2.2).branch()
    branch.run_command(DRAW, SERVER, raw=True)
    branch.terminal(CLIENT).type("ls /\n").settle()
    sub = branch.end.branch()
    sub.run_command("while :; do date +%N; sleep 0.1; done", CLIENT, raw=True)
    terminal = sub.terminals[0].type("echo more\n").settle()
    sub.wait(0.5)
    written = [data for streams in sub._history.raw.values() for data in streams.values()]
    found = sub.check()
    assert found.output > sum(map(len, written)) + len(terminal.output) > 100
    assert branch.check().output < found.output


def test_before_the_first_checkpoint_it_is_run_from_the_boot_snapshot(run: bp.Recording) -> None:
    branch = run.at_ns(run.files.checkpoints[1] + 1000).branch()
    bash(DRAW).run(branch)
    assert branch.check().again.startswith("the boot snapshot at -")
    first = run.at_ns(run.earliest + 1000).branch()
    bash(DRAW).run(first)
    assert first.check().first.startswith("the boot snapshot at -")


def test_another_machine_is_noticed(run: bp.Recording) -> None:
    """One byte, which nobody reads, in the guest's mailbox."""
    branch = run.at(4.2).branch()
    bash(DRAW).run(branch, SERVER)
    player = run.replayer.bring(branch._history, branch._history.tip)
    player.computer.write(mailbox_address(player.computer.spec.ram) + wire.SIZE - 1, b"x")
    with pytest.raises(bp.DivergenceError, match="a branch that was run again") as found:
        branch.check()
    assert "in another state than the first time" in found.value.message
    assert f"the first run started from {before(run, 4.2)[0]}" in found.value.message
    assert f"the second, in another emulator, from {before(run, 4.2)[2]}" in found.value.message


def test_other_output_is_noticed(run: bp.Recording) -> None:
    branch = run.at(4.2).branch()
    process = branch.run_command(DRAW, SERVER, raw=True).wait()
    branch._history.raw[process.number]["out"] += b"x"
    with pytest.raises(bp.DivergenceError, match="with other output of its commands"):
        branch.check()


def test_other_events_are_noticed(run: bp.Recording) -> None:
    """The states of the branch's first run are known, once it has run to its tip."""
    branch = run.at(4.2).branch()
    bash(DRAW).run(branch, SERVER)
    branch._history.log.append(bp.Event(at=branch.end.at - 1, source="kernel", text="never was"))
    branch.wait(0.3)
    with pytest.raises(bp.DivergenceError, match=r"expected .*never was") as found:
        branch.check()
    first, again = before(run, 4.2)[0], before(run, 4.2)[2]
    assert f"said the first time, when it had run from {first}" in found.value.message
    assert f"the guest, replayed from {again}, does not say" in found.value.message


def test_a_drawn_branch_is_checked_where_time_passes(
    run: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[bp.Branch] = []
    genuine = checking.check

    def check(*given: object, **how: object) -> checking.Checked:
        checked.append(branch)
        return genuine(*given, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(checking, "check", check)
    monkeypatch.setenv(checking.SETTING, "1")
    branch = run.at(3).branch()
    branch.wait(0.1)
    assert checked == [], "it is the recording, and compared with it"
    bash(DRAW).run(branch, SERVER)
    assert checked == [branch]
    branch = run.at(3).branch(seed=1).wait(0.1)
    assert len(checked) == 2
    monkeypatch.setenv(checking.SETTING, "0")
    branch.wait(0.1)
    assert len(checked) == 2


def test_futures_are_checked_as_well(run: bp.Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    futures = Futures(run, failure(log="never said"), lambda at: at + 300_000_000)
    job = FutureSpec(run.at(4.2).at, 7, digest=True)
    plain = futures.run(job)
    monkeypatch.setenv(checking.SETTING, "1")
    assert futures.run(job) == plain
    seen: list[bytes] = []

    def other(computer: Computer) -> bytes:
        seen.append(bytes([len(seen)]) * 32)
        return seen[-1]

    monkeypatch.setattr(Computer, "digest", other)
    with pytest.raises(bp.DivergenceError, match="a branch that was run again") as found:
        futures.run(job)
    assert len(seen) == 2
    told = found.value.message
    assert "the first run started from the state in memory at 4.200 s" in told
    assert f"in another emulator, from {before(run, 4.2)[1]}" in told


@pytest.mark.long
def test_a_rehearsal_goes_through_all_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.SETTING, "0")
    found = rehearse(tmp_path, branches=3)
    assert found, str(found)
    assert found.same == found.branches == 3
    assert found.verified.restored_afresh == found.verified.restorable > 2


def test_a_command_line_says_what_was_checked(run: bp.Recording) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "branchpoint.cli", "run", run.path, "--at", "4.2", "--check",
         "-c", SERVER, "--", "echo here; exit 3"],
        capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(bp.__file__).parents[1])},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (3, "here\n")
    assert f"the same from {before(run, 4.2)[2]} in another emulator" in done.stderr
