"""Moments, branches and commands on the real machine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from places import IDLE
from ruamel.yaml import YAML

import branchpoint as bp
from branchpoint import Time, bash, showing
from branchpoint.timeline.replaying.player import Player

SERVER, CLIENT, JOB = "server.1", "client.1", "job.1"


def test_every_instant_is_addressable(small: bp.Recording) -> None:
    moment = small.at(2.123456789)
    assert moment.at - small.origin == 2_123_456_789
    branch = moment.branch()
    assert bash("cat /srv/greeting").run(branch, SERVER).output == "hello from the server\n"
    assert branch.start == moment


def test_rewind_is_relative_or_absolute(small: bp.Recording) -> None:
    end = small.end
    assert end.rewind(Time.seconds(1)) == end.rewind(seconds=1) == small.at(end.vtime - 1)
    assert end.rewind_to(1.5) == small.at(1.5)
    assert end.rewind({Time.seconds(1)}) == end.rewind(1)


@pytest.mark.parametrize("when", [5.5, -100, 1e9])
def test_outside_the_recording_there_is_nothing(small: bp.Recording, when: float) -> None:
    with pytest.raises(bp.TimeError, match="outside"):
        small.at(when)


def test_a_branch_with_nothing_added_is_the_recording(small: bp.Recording) -> None:
    branch = small.at(1).branch().wait(3)
    assert branch.end == small.at(4)
    assert branch.events.map(str) == small.at(4).events.map(str)


@pytest.mark.long
def test_checkpoints_lie_closer_where_the_system_is_busy(tmp_path: Path) -> None:
    """A branch that is busy for the first four seconds, and idle afterwards."""
    at_work = "busybox timeout 4 busybox sh -c 'while :; do :; done'; exec busybox sleep infinity"
    system = YAML(typ="safe").load(IDLE)
    system["services"]["a"]["command"] = ["busybox", "sh", "-c", at_work]
    compose = tmp_path / "compose.yaml"
    YAML(typ="safe").dump(system, compose)
    with bp.record(compose, tmp_path / "made.branchpoint", seed=1, duration=14) as run:
        kept = [(at - run.origin) / 1e9 for at in run.files.checkpoints]
    busy, idle = [at for at in kept if 0 < at <= 4], [at for at in kept if 5 < at <= 13]
    assert len(busy) > len(idle) >= 2, kept


def test_siblings_know_nothing_of_each_other(small: bp.Recording) -> None:
    moment = small.at(2)
    branches = [moment.branch() for _ in range(12)]
    for number, branch in enumerate(branches):
        bash(f"echo {number} > /srv/number").run(branch, SERVER)
    for number, branch in enumerate(branches):
        assert bash("cat /srv/number").run(branch, SERVER).output == f"{number}\n"
    assert bash("ls /srv").run(moment.branch(), SERVER).output == "greeting\n"


def test_the_same_actions_give_the_same_history(small: bp.Recording) -> None:
    def act() -> tuple[list[str], str]:
        branch = small.at(2).branch()
        bash("head -c 16 /dev/urandom | od -An -tx1").run(branch, SERVER)
        branch.wait(0.5)
        return branch.events.map(str), branch.id

    assert act() == act()


def test_an_id_rebuilds_the_moment(small_path: Path, small: bp.Recording) -> None:
    branch = small.at(2).branch()
    bash("echo here > /srv/mark").run(branch, SERVER)
    branch.wait(0.25)
    sub = branch.end.branch()
    sub.inject_file("/srv/other", "two", SERVER)
    for tip, files in ((branch, "greeting\nmark\n"), (sub, "greeting\nmark\nother\n")):
        again = small.at(tip.id)
        assert again.id == tip.id
        assert bash("ls /srv").run(again.branch(), SERVER).output == files


def test_an_id_with_an_earlier_time_has_what_was_done_by_then(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    bash("echo first").run(branch, SERVER)
    first = branch.end
    branch.wait(0.5)
    bash("echo second").run(branch, SERVER)
    name = branch.id.partition("@")[0]
    early = small.at(f"{name}@{first.vtime + 0.2:.9f}")
    assert early.inputs == first.inputs
    assert not early.branch().wait(1).events.where(text="second")


def test_a_branch_of_a_branch_rewinds_into_its_parent(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    bash("echo one > /srv/one").run(branch, SERVER)
    sub = branch.end.branch().wait(1)
    early = sub.end.rewind_to(1.0)
    assert early == small.at(1.0)
    assert bash("ls /srv").run(early.branch(), SERVER).output == "greeting\n"


def test_a_failing_command_is_a_value(small: bp.Recording) -> None:
    branch = small.at(1).branch()
    process = bash("echo out; echo err >&2; exit 3").run(branch, CLIENT)
    assert (process.stdout, process.stderr, process.exit_code) == ("out\n", "err\n", 3)
    killed = bash("kill -9 $$").run(branch, CLIENT)
    assert (killed.signal, killed.exit_code) == (9, 137)
    assert bash("echo on").run(branch, CLIENT).output == "on\n"


def test_a_timeout_counts_virtual_time_and_leaves_the_branch_usable(small: bp.Recording) -> None:
    branch = small.at(1).branch()
    with pytest.raises(bp.ProcessTimeout, match=r"sleep 100.*client\.1"):
        bash("echo begun; sleep 100").run(branch, CLIENT, timeout=2)
    assert branch.vtime == pytest.approx(3, abs=0.01)
    assert bash("echo on").run(branch, CLIENT).output == "on\n"


def test_a_background_command_lives_in_virtual_time(small: bp.Recording) -> None:
    branch = small.at(1).branch()
    process = bash("for i in 1 2 3; do sleep 1; echo $i; done").run_in_background(branch, SERVER)
    assert process.running and process.output == ""
    branch.wait(1.5)
    assert process.running and process.output == "1\n"
    other = branch.end.branch().wait(1)
    assert process.output == "1\n"
    assert other.events.where(source="process", type="log").map(lambda e: e.text) == ["1", "2"]
    process.wait()
    assert (process.output, process.exit_code) == ("1\n2\n3\n", 0)
    ended = bash("sleep 50").run_in_background(branch, SERVER)
    branch.wait(0.1)
    ended.kill(signal.SIGTERM)
    assert ended.wait(1).signal == signal.SIGTERM


def test_tools_that_the_image_lacks_come_from_the_toolbox(small: bp.Recording) -> None:
    branch = small.at(1).branch()
    # So many that they contain a whole request, wherever they begin in one.
    capture = bash("tcpdump -nn -c 20 tcp port 8080").run(branch, SERVER, timeout=5)
    assert capture.exit_code == 0
    assert "GET /greeting" in capture.output
    assert "LISTEN" in bash("ss -tln").run(branch, SERVER).output
    assert "httpd" in bash("ps ax").run(branch, SERVER).output


def test_a_dead_container_can_still_be_looked_into(small: bp.Recording) -> None:
    process = bash("cat /result; ip -br addr show eth0").run(small.at(3).branch(), JOB)
    assert process.dead_container
    assert process.output.startswith("done\n")
    assert "UP" in process.output
    assert "container dead" in repr(process)


def test_containers_tell_their_state(small: bp.Recording) -> None:
    containers = small.at(3).containers()
    assert {c.name for c in containers} == {CLIENT, JOB, SERVER}
    assert containers[SERVER].state == "running"
    assert (containers["job"].state, containers["job"].exit_code) == ("exited", 3)
    with pytest.raises(bp.ContainerError, match=r"no container 'nosuch'"):
        bash("true").run(small.at(3).branch(), "nosuch")


def test_a_killed_container_exits_and_is_restarted(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    branch.control("kill", "client", "9")
    event = branch.wait_until("exit:client.1", cap=5)
    assert event is not None and event.fields["signal"] == "9"
    assert branch.wait_until({"until": branch.events.where(type="container.start")}, cap=5)
    assert branch.containers()[CLIENT].restarts == 1
    assert small.end.containers()[CLIENT].restarts == 0


def test_waiting_for_what_never_comes_ends_at_the_cap_and_is_said(
    small: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(showing, "_say", said.append)
    branch = small.at(2).branch()
    assert branch.wait_until("exit:client.1", cap=0.001) is None
    assert branch.wait_until({"until": "log:server.1:never", "cap": "1s499ms"}) is None
    assert branch.vtime == 3.5
    assert said == [
        "'exit:client.1' did not happen in 0.001 s: the branch is at main@2.001",
        "'log:server.1:never' did not happen in 1.499 s: the branch is at main@3.500",
    ]
    with pytest.raises(bp.ContainerError, match=r"did you mean \"client.1\""):
        branch.wait_until("exit:clint.1")
    assert branch.vtime == 3.5


def test_an_interrupt_leaves_everything_usable(
    small: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = small.at(1).branch()
    bash("echo kept > /srv/kept").run(branch, SERVER)
    reached: list[int] = []
    genuine = Player.run_to

    def run_to(player: Player, instant: int, step: int = 0) -> None:
        genuine(player, instant, step)
        if player.place.at - small.origin > 10_000_000_000:
            reached.append(player.place.at)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Player, "run_to", run_to)  # in any of the emulators
        with pytest.raises(KeyboardInterrupt):
            branch.wait(1000)
    assert [branch.end.at] == reached
    assert 10 < branch.vtime < 10.6  # the longest step is half a second
    assert bash("cat /srv/kept").run(branch, SERVER).output == "kept\n"
    lines = branch.events.where(container=CLIENT, type="log").map(lambda e: e.at)
    assert len(lines) == len(set(lines)) > 30


def test_registers_of_one_branch_do_not_leak_into_another(small: bp.Recording) -> None:
    """x87 pointers are saved only when they are not zero; a restore must set them to zero then."""
    used = small.at(1).branch()
    assert bash("/dev/branchpoint/tools/bin/seq 1 3").run(used, CLIENT).exit_code == 0
    bash("/dev/branchpoint/tools/bin/seq 1 3").run_in_background(used, CLIENT)
    for start in (0.5, 0.8, 1.2):
        small.at(start).branch().wait(1.2)  # compared with the recording on the way
