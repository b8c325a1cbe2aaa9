"""Each kind of fault does in a container what its description says, shown by ordinary programs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty import begins

import branchpoint as bp
from branchpoint import bash
from branchpoint.errors import BranchpointError
from branchpoint.faults.kinds import KINDS

A, B, OTHER, C = "a.1", "b.1", "b.2", "c.1"
NOW = "date +%s.%N"
WORK = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done"


@pytest.fixture(scope="module")
def run(faulty_path: Path) -> Iterator[bp.Recording]:
    with bp.open(faulty_path) as run:
        yield run


@pytest.fixture
def branch(run: bp.Recording) -> bp.Branch:
    return run.at(1).branch()


# -- out of memory


@pytest.mark.long
def test_processes_killed_for_want_of_memory_are_told(branch: bp.Branch) -> None:
    """tail keeps a whole line in memory, and this line has no end."""
    process = bash("tail /dev/zero").run(branch, A)
    (event,) = branch.events.where(type="container.oom")
    assert (event.container, event.text) == (A, "out of memory: the kernel killed 1 process")
    assert process.remark.endswith(f"s: {A} ran out of memory then")
    assert branch.containers()[A].state == "running"
    assert not branch.events.where(source="kernel", text="WARNING")
    bash("tail /dev/zero").run(branch, A)
    assert [e.number("killed") for e in branch.events.where(type="container.oom")] == [1, 1]


def test_a_container_killed_for_want_of_memory(branch: bp.Branch) -> None:
    bash(f"echo 1 > /sys/fs/cgroup/branchpoint/{A}/memory.oom.group").run(branch)
    bash("tail /dev/zero").run(branch, A)
    branch.wait(1)
    told, end, _ = branch.events.where(type=["container.oom", "container.exit", "container.start"],
                                       container=A, start=1)  # fmt: skip
    assert [told.type, end.type] == ["container.oom", "container.exit"]
    assert told.number("killed") >= 2
    assert end.text == "killed by SIGKILL, out of memory"
    bash("true").run(branch, A)
    assert len(branch.events.where(type="container.oom")) == 1


# -- the network and more


def ping(branch: bp.Branch, source: str, host: str, count: int = 20, every: float = 0.02) -> str:
    """The output of ping with this many requests."""
    return bash(f"ping -c {count} -i {every} -W 0.3 {host}").run(branch, source).output


def answered(said: str) -> int:
    return int(re.findall(r"(\d+) received", said)[0])


def trips(said: str) -> list[float]:
    """Round trips in ms, in the order of the answers."""
    return [float(ms) for ms in re.findall(r"time=([\d.]+) ms", said)]


def asked(branch: bp.Branch, container: str) -> int:
    """How many pings have reached a container."""
    line = bash("grep Icmp: /proc/net/snmp | tail -1").run(branch, container).output
    return int(line.split()[9])  # InEchos


def seconds(branch: bp.Branch, script: str, container: str) -> float:
    """Virtual time that a script takes in a container, by the machine's own steady clock."""
    script = f"read -r a b < /proc/uptime; {script}; read -r c d < /proc/uptime; echo $a $c"
    first, last = bash(script).run(branch, container).output.split()
    return float(last) - float(first)


def test_partition(branch: bp.Branch) -> None:
    fault = branch.faults.partition("a", "b")
    branch.wait(0.05)
    assert answered(ping(branch, A, "b.1", 3)) == 0
    assert answered(ping(branch, OTHER, "a", 3)) == 0
    assert answered(ping(branch, A, "c", 3)) == 3
    assert answered(ping(branch, B, "b.2", 3)) == 3
    fault.heal()
    branch.wait(0.05)
    assert answered(ping(branch, A, "b.1", 3)) == 3


def test_partition_of_one_from_all(branch: bp.Branch) -> None:
    branch.faults.partition("c", for_=1)
    branch.wait(0.05)
    assert answered(ping(branch, A, "c", 3)) == answered(ping(branch, C, "b.1", 3)) == 0
    assert answered(ping(branch, A, "b.1", 3)) == 3


def test_a_group_cut_off_keeps_its_own_links(branch: bp.Branch) -> None:
    branch.faults.partition(["a", "c"])
    branch.wait(0.05)
    assert answered(ping(branch, A, "c", 3)) == 3
    assert answered(ping(branch, A, "b.1", 3)) == 0
    assert answered(ping(branch, B, "b.2", 3)) == 3


def test_partition_one_way(branch: bp.Branch) -> None:
    answered(ping(branch, A, "b.1", 1))  # so that they know each other's hardware addresses
    here, there = asked(branch, A), asked(branch, B)
    branch.faults.partition(A, B, one_way=True)
    branch.wait(0.05)
    assert answered(ping(branch, A, "b.1", 3)) == answered(ping(branch, B, "a", 3)) == 0
    assert asked(branch, B) == there
    assert asked(branch, A) == here + 3


def test_latency(branch: bp.Branch) -> None:
    branch.faults.latency("a", "80ms", for_=10)
    branch.wait(0.05)
    times = trips(ping(branch, B, "a", 10, 0.1))[1:]  # the first ping also asks for the address
    assert len(times) == 9
    assert all(80 <= ms < 82 for ms in times)
    assert max(trips(ping(branch, B, "c", 5))) < 5


@pytest.mark.long
def test_jitter_is_drawn_anew_by_a_seed(branch: bp.Branch) -> None:
    answered(ping(branch, B, "a", 1))
    branch.faults.latency("a", 0.05, jitter=0.02)
    branch.wait(0.05)

    def times(branch: bp.Branch) -> list[float]:
        branch.wait(0.05)
        return trips(ping(branch, B, "a", 10, 0.1))

    as_it_was = times(branch.end.branch())
    assert all(29 < ms < 72 for ms in as_it_was)
    assert max(as_it_was) - min(as_it_was) > 5
    assert times(branch.end.branch()) == as_it_was
    one, two = (times(branch.end.branch(seed, noise=None)) for seed in (1, 2))
    assert len({tuple(as_it_was), tuple(one), tuple(two)}) == 3
    assert times(branch.end.branch(1, noise=None)) == one


def test_loss(branch: bp.Branch) -> None:
    answered(ping(branch, B, "a", 1))
    branch.faults.loss("a", "30%")
    branch.wait(0.05)
    assert 0.3 < answered(ping(branch, B, "a", 200, 0.005)) / 200 < 0.7  # 0.7 each way
    assert answered(ping(branch, B, "c", 50, 0.005)) == 50


@pytest.mark.long
def test_loss_is_drawn_anew_by_a_seed(branch: bp.Branch) -> None:
    answered(ping(branch, B, "a", 1))
    branch.faults.loss("a", 0.5)
    branch.wait(0.05)
    lost = [ping(branch.end.branch(seed, noise=None), B, "a", 40, 0.005) for seed in (1, 1, 2)]
    numbers = [re.findall(r"icmp_seq=(\d+)", said) for said in lost]
    assert numbers[0] == numbers[1] != numbers[2]


def test_duplicate(branch: bp.Branch) -> None:
    branch.faults.duplicate("a", "50%")
    branch.wait(0.05)
    said = ping(branch, B, "a", 50, 0.01)
    assert 10 < said.count("DUP!") < 40
    assert answered(said) == 50


def test_reorder(branch: bp.Branch) -> None:
    branch.faults.reorder("a", "30%", "50ms")
    branch.wait(0.05)
    said = ping(branch, B, "a", 40, 0.01)
    numbers = [int(number) for number in re.findall(r"icmp_seq=(\d+)", said)]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(1, 41))


def test_clog(branch: bp.Branch) -> None:
    answered(ping(branch, B, "a", 1))
    branch.faults.clog("a", for_=0.5)
    branch.wait(0.05)
    said = bash("ping -c 20 -i 0.02 -W 2 a").run(branch, B).output
    held = [ms for ms in trips(said) if ms > 20]
    assert answered(said) == 20
    assert len(held) > 3
    assert max(held) > 400
    assert held == sorted(held, reverse=True)  # whoever waited longest comes first


def test_a_clog_ends_while_other_packets_are_late(branch: bp.Branch) -> None:
    branch.faults.latency("a", 0.2)
    branch.faults.clog("a", for_=0.3)
    said = bash("ping -c 60 -i 0.02 -W 2 a").run_in_background(branch, B)
    branch.wait(1)
    assert branch.faults.active == ["b1"]  # even though some packets are always on their way
    assert answered(said.wait().output) == 60


def test_faults_end_in_time_whoever_keeps_the_processor_busy(branch: bp.Branch) -> None:
    branch.faults.cpu("95%", for_=2)
    bash("while :; do :; done").run_in_background(branch, B)
    branch.wait(0.1)
    for begin in (branch.faults.loss, branch.faults.duplicate, branch.faults.throttle):
        begin("a", for_=0.1)
    branch.faults.slow_disk("c", for_=0.1)
    branch.wait(0.4)
    assert branch.faults.active == ["b1"]


def test_kill(branch: bp.Branch) -> None:
    branch.faults.kill(B, for_=0.5)
    branch.wait(0.3)
    killed = branch.containers()[B]
    assert (killed.state, killed.signal) == ("exited", 9)
    assert branch.wait(0.5).containers()[B].state == "running"


def test_kill_leaves_the_rest_to_the_restart_policy(branch: bp.Branch) -> None:
    branch.faults.kill(B)
    branch.faults.kill("c")
    branch.wait(1)
    assert branch.containers()[B].state == "exited"
    assert (branch.containers()["c"].state, branch.containers()["c"].restarts) == ("running", 1)


def test_stop_and_restart(branch: bp.Branch) -> None:
    branch.faults.stop("c", for_=0.8)
    branch.wait(0.5)
    stopped = branch.containers()["c"]
    assert (stopped.state, stopped.exit_code) == ("exited", 0)  # stopped in order, and stays down
    branch.wait(0.6)
    assert branch.containers()["c"].state == "running"
    branch.faults.restart("c")
    branch.wait(0.5)
    starts = branch.events.where(type="container.start", container=C)
    assert len(starts) == 3


def test_freeze(branch: bp.Branch) -> None:
    branch.faults.freeze("c", for_=0.5)
    begin = branch.vtime
    branch.wait(1)
    ticks = [e.vtime for e in branch.events.where(container=C, type="log") if e.vtime > begin - 0.1]
    gaps = [later - sooner for sooner, later in itertools.pairwise(ticks)]
    assert max(gaps) == pytest.approx(0.5, abs=0.05)
    assert sorted(gaps)[-2] < 0.1
    assert branch.containers()["c"].restarts == 0


@pytest.mark.long
def test_throttle(branch: bp.Branch) -> None:
    usual = seconds(branch, WORK, B)
    branch.faults.throttle(B, "20%")
    branch.wait(0.05)
    assert seconds(branch, WORK, B) == pytest.approx(5 * usual, rel=0.25)
    assert seconds(branch, WORK, OTHER) == pytest.approx(usual, rel=0.1)


def test_throttle_leaves_a_lower_limit_of_its_own(branch: bp.Branch) -> None:
    branch.faults.throttle("a", 0.9)
    assert bash("cat /sys/fs/cgroup/cpu.max").run(branch.wait(0.1), A).output == "50000 100000\n"


@pytest.mark.long
def test_cpu(branch: bp.Branch) -> None:
    usual = seconds(branch, WORK, B)
    branch.faults.cpu("75%", for_=20)
    branch.wait(0.05)
    assert seconds(branch, WORK, B) == pytest.approx(4 * usual, rel=0.25)


def test_memory(branch: bp.Branch) -> None:
    grow = "head -c 1M /dev/zero | tail -n 1 > /dev/null"
    usual = seconds(branch, grow, B)
    branch.faults.memory(B, 1)
    branch.wait(0.05)
    assert seconds(branch, grow, OTHER) < 2 * usual
    slow = bash(grow).run_in_background(branch, B)
    branch.wait(0.5 + 2 * usual)
    assert slow.running
    branch.faults.heal()
    assert slow.wait(5).exit_code == 0


@pytest.mark.parametrize("step", [3600, -3600])
def test_clock(branch: bp.Branch, step: int) -> None:
    told = bash(f"while sleep 0.1; do {NOW}; done").run_in_background(branch, B)
    branch.wait(0.25)
    branch.faults.clock(step, for_=0.5)
    branch.wait(1)
    times = [float(line) for line in told.output.splitlines()]
    jumps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert sorted(round(jump / 3600) for jump in jumps if abs(jump) > 1) == [-1, 1]
    assert round(next(jump for jump in jumps if abs(jump) > 1)) == pytest.approx(step, abs=1)


def test_disk_full(branch: bp.Branch) -> None:
    write = "for p in /x /data/x; do head -c 100000 /dev/zero > $p && echo $p; done; df -k / /data"
    branch.faults.disk_full("a", left="8k", for_=1)
    branch.wait(0.05)
    said = bash(write).run(branch, A).output
    assert said.count("No space left on device") == 2
    assert bash("head -c 100000 /dev/zero > /x && echo good").run(branch, B).output == "good\n"
    assert bash("head -c 4096 /dev/zero > /y && echo good").run(branch, A).exit_code != 0
    branch.wait(1)
    again = bash(write).run(branch, A).output.splitlines()
    assert again[:2] == ["/x", "/data/x"]
    assert [line.split()[1] for line in again[3:]] == ["16384", "4096"]


@pytest.mark.long
def test_slow_disk(branch: bp.Branch) -> None:
    sync = "busybox dd if=/dev/zero of=/x bs=4k count=1 conv=fsync 2> /dev/null; date +%s%N"
    told = bash(f"while :; do {sync}; busybox usleep 10000; done").run_in_background(branch, B)
    branch.wait(0.5)
    branch.faults.slow_disk(B, 0.05, for_=2)
    branch.wait(3)
    times = [int(line) / 1e9 for line in told.output.splitlines()]
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    slow = [gap for gap in gaps if gap > 0.15]  # at least three delayed calls in each
    assert 4 <= len(slow) <= 12
    assert max(gaps[:5]) < 0.1
    assert max(gaps[-5:]) < 0.1


def test_command(branch: bp.Branch) -> None:
    branch.faults.command("echo 'it is {id}' > /mark", "a", heal="rm /mark", for_=0.3)
    branch.faults.command("touch /var/mark")
    branch.wait(0.1)
    assert bash("cat /mark").run(branch, A).output == "it is b1\n"
    assert bash("ls /var/mark").run(branch).exit_code == 0
    branch.wait(0.4)
    assert bash("ls /mark").run(branch, A).exit_code != 0


def test_a_script_that_fails_says_so(branch: bp.Branch) -> None:
    branch.faults.command("echo sorry >&2; exit 3", "a", heal="true", for_=5)
    branch.faults.kill(OTHER)
    branch.wait(0.3)
    branch.faults.throttle(OTHER)
    branch.wait(0.3)
    said = [(e.fields["about"], e.text) for e in branch.events.where(type="error")]
    assert said == [("fault/b1", "sorry"), ("fault/b3", "b.2 is not running")]
    ends = {e.fields["id"]: e.fields["why"] for e in branch.events.where(type="fault.end")}
    assert ends == {"b1": "failed", "b2": "over", "b3": "failed"}


def test_settings_are_kept_by_the_branch(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    assert branch.faults.settings.drawn == ()
    branch.faults.settings = {"kill": {"every": 0.2, "for": (0.05, 0.1), "exclude": ["a", "apart"]}}
    branch.faults.settings = branch.faults.settings.words()
    branch.wait(2)
    assert 3 < len(begins(branch)) < 30
    assert set(begins(branch)) == {"kill"}
    assert {e.fields["target"] for e in branch.events.where(type="fault.start")} == {B, OTHER, C}
    assert "kill: {every: 200ms, for: [50ms, 100ms]" in str(branch.faults.settings)
    again = run.at(branch.id).branch()
    assert again.faults.settings == branch.faults.settings
    assert again.events.map(str) == branch.events.map(str)


def test_pause_unpause_and_heal(branch: bp.Branch) -> None:
    branch.faults.settings = {"latency": {"every": 0.1, "for": (5, 6)}}
    branch.wait(1)
    assert len(branch.faults.active) == 4  # one per container
    branch.faults.pause()
    branch.wait(1.5)
    count = len(begins(branch))
    assert branch.faults.active == []
    branch.faults.unpause()
    branch.wait(1)
    assert len(begins(branch)) > count
    branch.faults.partition("a")
    branch.faults.heal()
    branch.faults.settings = {}
    branch.wait(1.5)
    assert branch.faults.active == []


def test_quiet_windows(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    branch.faults.settings = {"loss": {"every": 0.05, "for": 0.1}, "quiet": [(1.5, 2)]}
    branch.wait(1.4)
    times = [e.vtime for e in branch.events.where(type="fault.start")]
    assert any(time < 1.5 for time in times)
    assert any(time >= 2 for time in times)
    assert not any(1.5 <= time < 2 for time in times)


@pytest.mark.long
def test_the_same_faults_give_the_same_history(run: bp.Recording) -> None:
    def act(start: bp.Moment) -> list[str]:
        branch = start.branch(7)
        branch.faults.settings = {
            name: {"every": 0.2, "for": 0.1} if kind.lasts != "never" else {"every": 0.5}
            for name, kind in KINDS.items()
        }
        bash("head -c 8M /dev/zero | tail -n 1 > /dev/null").run_in_background(branch, B)
        branch.faults.memory(B, 0.7, for_=0.5)
        branch.wait(1)
        assert len(begins(branch)) > 20 and len(set(begins(branch))) > 8
        return branch.events.map(str)

    first = act(run.at(1))
    run.at(2.5).branch().wait(0.1)  # another way to the same moment
    assert act(run.at(1)) == first


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda f: f.kill("aa"), 'there is no container "aa"\n.*did you mean "a"'),
        (lambda f: f.kill("b"), '"b" has 2 containers\n.*b.1, b.2'),
        (lambda f: f.latency("apart"), '"apart.1" is not in any network'),
        (lambda f: f.latency("a", delay="soon"), '"delay" must be a duration, not "soon"'),
        (lambda f: f.loss("a", share=2), '"share" must be 0.0001% to 100%, not 2'),
        (lambda f: f.partition("a", ["b", "a"]), '"a.1" is on both sides'),
        (lambda f: f.latency("a", for_=-1), "is negative"),
        (lambda f: setattr(f, "settings", {"kil": None}), 'unknown kind of fault "kil"'),
    ],
)
def test_mistakes(branch: bp.Branch, wrong: object, said: str) -> None:
    with pytest.raises(BranchpointError, match=said):
        wrong(branch.faults)  # type: ignore[operator]
    assert branch.end == branch.start
