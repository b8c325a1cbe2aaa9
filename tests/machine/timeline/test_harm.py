"""What harm does: damage, kills, wrong arguments. Nothing is lost, nothing is left behind."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from places import SMALL
from processes import ROUNDS, alive, emulators_of, wait_for

import branchpoint as bp
from branchpoint.machine.computer import Computer

FLIPS = int(os.environ.get("BRANCHPOINT_TEST_FLIPS", "12"))

RECORD = f"""
import sys, branchpoint as bp
bp.record({str(SMALL)!r}, sys.argv[1], seed=3, duration=3600)
"""
SEEK = """
import random, sys, branchpoint as bp
run = bp.open(sys.argv[1])
print("ready", flush=True)
while True:
    branch = run.at(random.uniform(0, run.duration)).branch()
    bp.bash("echo x").run(branch, "server.1")
"""


def check_usable(path: Path) -> None:
    """It opens, and each of its seconds can be visited."""
    with bp.open(path) as run:
        assert run.manifest.end > 0
        started = run.events.where(type="container.start", container="server.1").first
        if started is not None:  # it may have been killed before that
            branch = run.at(random.Random(1).uniform(started.vtime, run.duration)).branch()
            assert bp.bash("echo fine").run(branch, "server.1").output == "fine\n"


@pytest.mark.parametrize("round", ROUNDS)
def test_python_killed_while_recording(tmp_path: Path, round: int) -> None:
    path = tmp_path / "killed.branchpoint"
    chance = random.Random(round)
    process = subprocess.Popen([sys.executable, "-c", RECORD, path])
    wait_for(lambda: (path / "recording.json").exists() and emulators_of(process.pid))
    children = emulators_of(process.pid)
    saved = chance.randrange(1, 14)
    wait_for(lambda: len(list((path / "checkpoints").glob("*"))) >= saved)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(alive(child) for child in children))
    check_usable(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small file system")
@pytest.mark.parametrize("megabytes", [2, 3])
def test_a_disk_that_fills_up_while_recording(tmp_path: Path, megabytes: int) -> None:
    small = tmp_path / "small"
    small.mkdir()
    options = f"size={megabytes}m"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", small]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = small / "full.branchpoint"
        with pytest.raises(bp.RecordingError, match="No space left on device") as full:
            bp.record(SMALL, path, seed=3, duration=60)
        assert "free some space" in full.value.hint
        check_usable(Path(shutil.copytree(path, tmp_path / "full.branchpoint")))
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.mark.parametrize("round", ROUNDS)
def test_python_killed_while_seeking(
    small_path: Path, copy_of: Callable[[Path], Path], round: int
) -> None:
    path = copy_of(small_path)
    process = subprocess.Popen(
        [sys.executable, "-c", SEEK, path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    wait_for(lambda: emulators_of(process.pid))
    children = emulators_of(process.pid)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(random.Random(round).uniform(0.1, 3))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    wait_for(lambda: not any(alive(child) for child in children))
    check_usable(path)


def test_emulators_killed_while_nobody_uses_them(small: bp.Recording) -> None:
    """All that are kept die: the next call starts another, and does not speak of it."""
    branch = small.at(1).branch()
    bp.bash("echo kept > /srv/kept").run(branch, "server.1")
    bp.bash("true").run(small.at(2).branch(), "server.1")
    players = list(small.replayer._players)
    assert players
    for player in players:
        os.kill(player.computer.pid, signal.SIGKILL)
    wait_for(lambda: not any(player.alive for player in players))
    branch.wait(1)
    assert bp.bash("cat /srv/kept").run(branch, "server.1").output == "kept\n"


@pytest.mark.parametrize("round", ROUNDS)
def test_the_emulator_killed_while_recording(tmp_path: Path, round: int) -> None:
    path = tmp_path / "killed.branchpoint"
    chance = random.Random(100 + round)
    process = subprocess.Popen(
        [sys.executable, "-c", RECORD, path], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    wait_for(lambda: (path / "recording.json").exists() and emulators_of(process.pid))
    saved = chance.randrange(1, 14)
    wait_for(lambda: len(list((path / "checkpoints").glob("*"))) >= saved)
    for child in emulators_of(process.pid):
        os.kill(child, signal.SIGKILL)
    said = process.stderr.read()
    assert process.wait() != 0
    assert "MachineError: the emulator" in said
    process.stderr.close()
    check_usable(path)


@pytest.mark.parametrize("round", ROUNDS)
def test_the_emulator_killed_while_it_runs(small: bp.Recording, round: int) -> None:
    """At an instant that the host chooses, after the first step of a run.

    Which of the kept emulators runs is not said, so all of them are killed.
    """
    chance = random.Random(200 + round)
    branch = small.at(chance.uniform(0, small.duration)).branch()
    bp.bash("echo kept > /srv/kept").run(branch, "server.1")
    here = branch.vtime

    killed: list[int] = []

    def kill() -> None:
        for player in small.replayer._players:
            killed.append(player.computer.pid)
            os.kill(player.computer.pid, signal.SIGKILL)

    killer = threading.Timer(chance.uniform(0, 0.5), kill)

    def passed(standing: bool) -> None:
        branch._history.watchers.remove(passed)
        killer.start()

    branch._history.watchers.append(passed)
    with pytest.raises(bp.MachineError, match="the emulator"):
        branch.wait(600)
    killer.join()
    wait_for(lambda: not any(map(alive, killed)))
    assert branch.vtime >= here
    assert bp.bash("cat /srv/kept").run(branch, "server.1").output == "kept\n"


def test_the_emulator_is_confined(small: bp.Recording) -> None:
    player = small.replayer.bring(small.end._history, small.end._point)
    status = Path(f"/proc/{player.computer.pid}/status").read_text()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Seccomp"] == "2"
    assert fields["Uid"].split()[1] != "0"
    assert int(fields["CapEff"], 16) == 0
    assert os.getsid(player.computer.pid) == player.computer.pid


def test_no_emulator_outlives_its_object(small: bp.Recording) -> None:
    start = small.replayer.snapshot
    computer = Computer(start.spec, template=start.template, pool=small.replayer.pool)
    pid = computer.pid
    del computer
    wait_for(lambda: not alive(pid), 10)


def test_flipped_bits_and_cut_files_lose_nothing(
    small_path: Path, small: bp.Recording, copy_of: Callable[[Path], Path]
) -> None:
    """Each file of a recording is damaged: a clear message, and everything else still works."""
    expected = small.at(3).events.map(str)
    path = copy_of(small_path)
    names = sorted(p.relative_to(path) for p in path.rglob("*") if p.is_file())
    chance, told = random.Random(5), 0
    for number in range(FLIPS):
        target = path / names[number % len(names)]
        genuine = target.read_bytes()
        if not genuine:
            continue
        harmed = bytearray(genuine)
        harmed[chance.randrange(len(harmed))] ^= 1 << chance.randrange(8)
        target.write_bytes(harmed if number % 3 else harmed[: chance.randrange(len(harmed))])
        try:
            with bp.open(path) as run:
                branch = run.at(3).branch()
                assert bp.bash("cat /srv/greeting").run(branch, "server.1").exit_code == 0
                if not run.gaps:
                    assert run.at(3).events.map(str) == expected
                said = run.warnings
        except bp.BranchpointError as error:
            said = [str(error)]
        assert all(str(path) in line for line in said)
        told += bool(said)
        target.write_bytes(genuine)
    assert told  # not for all of them: a page that is never read is not checked
    check_usable(path)


def test_a_recording_is_never_overwritten(small_path: Path) -> None:
    with pytest.raises(bp.RecordingError, match="exists already"):
        bp.record(SMALL, small_path, duration=1)


def test_a_missing_system_image_is_named(
    small_path: Path,
    copy_of: Callable[[Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr("branchpoint.guest.image.ensure_image", _other_image)
    moved = copy_of(small_path)
    with bp.open(moved) as run, pytest.raises(bp.RecordingError, match="is not on this"):
        run.at(1).branch().wait(1)


def _other_image() -> object:
    class Other:
        digest = "0" * 32

    return Other()
