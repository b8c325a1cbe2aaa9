"""A guest that ends its machine, or goes to sleep, or can no longer be heard."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from places import HERE, IDLE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest.compiler import static_program
from branchpoint.machine import computer

ENDS = [
    ("echo mem > /sys/power/state", "it suspended itself"),
    ("poweroff -f", "it switched itself off"),
    ("reboot -f", "it was reset"),
    ("echo c > /proc/sysrq-trigger", "it was reset"),
]


@pytest.mark.parametrize(("script", "why"), ENDS, ids=["suspend", "off", "reset", "panic"])
def test_the_end_is_an_event_at_the_same_instant_each_time(
    idle: bp.Recording, script: str, why: str
) -> None:
    first = idle.at(1).branch()
    with pytest.raises(bp.GuestEnded, match=why):
        bash(script).run(first)
    (event,) = first.events.where(type="machine.end")
    assert (event.text, event.at) == (why, first.end.at)
    second = idle.at(0.5).branch().wait(0.5)
    bash(script).run_in_background(second)
    assert second.wait_until("event:machine.end") == event
    assert second.end.at == event.at


def test_no_time_passes_after_the_end_but_before_it_all_can_be_seen(idle: bp.Recording) -> None:
    branch = idle.at(1).branch()
    bash("sleep 0.2; poweroff -f").run_in_background(branch)
    branch.wait_until("event:machine.end")
    for late in (branch, branch.end.branch()):
        with pytest.raises(bp.GuestEnded, match="no time passes after that"):
            late.wait(1)
    assert len(branch.events.where(type="machine.end")) == 1
    assert "sleep" in bash("ps").run(branch.end.rewind(0.1).branch()).output


@pytest.mark.parametrize("until", [None, "event:machine.end"], ids=["time", "end"])
def test_a_recording_ends_with_its_guest_and_replays(tmp_path: Path, until: str | None) -> None:
    system = tmp_path / "compose.yaml"
    shutil.copy(IDLE, system)
    system.write_text(
        IDLE.read_text().replace(
            "[busybox, sleep, infinity]",
            "[busybox, sh, -c, 'sleep 1; echo b > /proc/sysrq-trigger']\n    privileged: true",
            1,
        )
    )
    path = tmp_path / "short.branchpoint"
    with bp.record(system, path, seed=1, duration=10, until=until) as run:
        assert run.manifest.ended == (until or "the guest ended: it was reset")
        (event,) = run.events.where(type="machine.end")
        assert event.at == run.manifest.end and 0.9 < event.vtime < 1.5
        with pytest.raises(bp.GuestEnded):
            run.at(0.5).branch().wait(5)
    from branchpoint.sharing.proof.verify import verify

    assert verify(path)


def test_a_guest_that_sleeps_does_not_keep_anybody_waiting(idle: bp.Recording) -> None:
    branch = idle.at(1).branch()
    bash("echo freeze > /sys/power/state").run_in_background(branch)
    branch.wait(1)
    with pytest.raises(bp.MachineError, match="has not yet taken what was sent"):
        bash("true").run(branch)
    assert branch.end.vtime < 5


def test_containers_do_not_reach_the_hardware(idle: bp.Recording) -> None:
    """Some devices have content that no state includes. The kernel says so in its log, too."""
    branch = idle.at(1).branch()
    program = static_program([HERE / "programs" / "hardware.c"])
    branch.inject_file("/run/hardware", program, mode=0o755)
    said = bash("/run/hardware").run(branch).output.splitlines()
    tries = ["ioperm", "iopl", "/dev/mem", "pci"]
    assert said == [f"{what}: Operation not permitted" for what in tries]
    assert "raw io port access is restricted" in bash("dmesg").run(branch).output


# -- emulators that do not answer


def test_an_emulator_in_which_no_time_passes_is_given_up(
    idle: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computer, "_PATIENCE", 0.5)
    machine = a_computer(idle)
    os.kill(machine.pid, signal.SIGSTOP)
    with pytest.raises(bp.MachineError, match="no virtual time has passed"):
        machine.run_to(machine.now + 1_000_000)
    assert machine.closed


def test_an_interrupt_does_not_wait_for_ever(
    idle: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computer, "_GRACE", 0.5)
    machine = a_computer(idle)
    os.kill(machine.pid, signal.SIGSTOP)
    press = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt):
        machine.run_to(machine.now + 1_000_000)
    press.join()
    assert machine.closed


def a_computer(run: bp.Recording) -> computer.Computer:
    snapshot = run.replayer.snapshot
    pool = run.replayer.pool
    machine = computer.Computer(snapshot.spec, template=snapshot.template, pool=pool)
    machine.restore(snapshot.state)
    return machine
