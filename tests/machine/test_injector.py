"""The injector and the scheduling noise in the guest: seeded, numbered, and gone when told to be.

What is said to the agent here are the raw commands of :mod:`branchpoint.guest.wire`.
"""

from __future__ import annotations

import functools
import itertools
import math
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import HERE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest import erofs, wire
from branchpoint.guest.image import ensure_image
from branchpoint.guest.mailbox import Mailbox
from branchpoint.guest.snapshot import ensure_snapshot
from branchpoint.machine.computer import Computer
from branchpoint.machine.pages import PagePool
from branchpoint.soak import Subject, soak
from branchpoint.system import build, layout
from branchpoint.system.images import find_images

COMPOSE = HERE / "systems" / "idle" / "compose.yaml"
SECOND = 1_000_000_000
MS = 1_000_000
FAULTS = ["fault.start", "fault.end"]
TICK = wire.TICK / SECOND
LATE = 50e-6  # seconds from an instant until the agent, woken by it, has acted


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("recordings") / "idle.branchpoint"
    with bp.record(COMPOSE, path, seed=1, duration=2) as run:
        yield run


def say(branch: bp.Branch, *commands: bytes) -> bp.Branch:
    """Place commands at the tip of a branch."""
    for command in commands:
        branch._place("fault", command, "")
    return branch


def future(run: bp.Recording, *commands: bytes, seed: bytes | None = b"a") -> bp.Branch:
    """A branch off second 1, seeded, with these commands at its begin."""
    branch = run.at(1).branch()
    return say(branch, *([wire.seed(seed)] if seed else []), *commands)


def of(branch: bp.Branch, *types: str, start: float = 1) -> list[bp.Event]:
    return [e for e in branch.events.where(start=start) if e.type in (types or FAULTS)]


def begun(branch: bp.Branch) -> list[tuple[str, float, str, str, str, str]]:
    """Number, instant, type, target, parameters and duration of each fault."""
    return [
        (e.fields["id"], e.vtime, *(e.fields[k] for k in ("type", "target", "params", "for")))
        for e in of(branch, "fault.start")
    ]


def kind(type_: str, every: float, low: float = 0, high: float = 0, *lines: str) -> str:
    """A `kind` of a plan, in seconds; it has one target when no line names any."""
    times = " ".join(str(round(t * SECOND)) for t in (every, low, high))
    return "\n".join([f"kind {type_} {times}", *(lines or ["target guest"])]) + "\n"


def once(type_: str, from_: float, until: float, chance: float, *lines: str) -> str:
    millionths = round(chance * 1e6)
    return (
        f"once {type_} {round(from_ * SECOND)} {round(until * SECOND)} {millionths} 0 0\n"
        + "\n".join(lines or ["target guest"])
        + "\n"
    )


def state(branch: bp.Branch, container: str) -> str:
    (found,) = [c for c in branch.containers() if c.name == container]
    return found.state


def contents(branch: bp.Branch, path: str) -> list[str]:
    return bash(f"cat {path}").run(branch).output.split("\n")[:-1]


class Machine:
    """A computer with a system in it that was not started yet."""

    def __init__(self, system: Path) -> None:
        guest = ensure_image()
        snapshot = ensure_snapshot(guest, system, build(COMPOSE).system.ram)
        spec = replace(snapshot.spec, modules=(guest.toolbox, system))
        self.computer = Computer(spec, template=snapshot.template, pool=PagePool(snapshot.hashes))
        self.computer.restore(snapshot.state)
        self.mailbox = Mailbox(self.computer)
        self.mailbox.skip()
        self.records: list[wire.Record] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.computer.close()

    def run(self, seconds: float, *commands: bytes) -> None:
        for command in commands:
            self.mailbox.send(command)
        end = self.computer.now + round(seconds * SECOND)
        while self.computer.now < end:
            self.computer.run_to(min(end, self.computer.now + wire.DRAIN))
            self.records += self.mailbox.drain()

    def events(self, type_: str) -> list[wire.Event]:
        return [r for r in self.records if isinstance(r, wire.Event) and r.type == type_]


# -- seeds


MIXED = wire.plan(
    kind("touch", 0.3, 0, 0, "target x", "begin sh echo x >> /tmp/touched")
    + kind("freeze", 0.5, 0.1, 0.4, "param load 1 1000", "target a.1", "begin container pause a.1",
           "end container unpause a.1", "target c.1", "begin container pause c.1",
           "end container unpause c.1")
    + kind("kill", 0.7, 0, 0, "target b.1", "begin container kill b.1")
    + once("clock", 2, 5, 0.9, "param step -5000 5000", "target guest", "begin clock {step}")
)  # fmt: skip
NOISE = wire.noise(5 * MS, MS)


def whole_future(run: bp.Recording, seed: bytes) -> list[str]:
    branch = future(run, MIXED, NOISE, seed=seed)
    process = bash("od -An -tx1 -N16 /dev/urandom; date +%N").run_in_background(branch, "c.1")
    branch.wait(6)
    assert process.output
    return branch.events.where(start=1).map(str)


def test_one_seed_is_one_future(idle: bp.Recording) -> None:
    first, other = whole_future(idle, b"a"), whole_future(idle, b"b")
    assert whole_future(idle, b"a") == first
    assert len(first) > 20
    assert first != other


def test_a_seed_redraws_random_numbers_and_the_schedule(idle: bp.Recording) -> None:
    def drawn(seed: bytes) -> tuple[str, list[object]]:
        branch = future(idle, wire.plan(kind("x", 0.2)), seed=seed)
        text = bash("od -An -tx1 -N16 /dev/urandom").run(branch, "a.1").output
        return text, [at for _, at, *_ in begun(branch.wait(3))]

    (text, schedule), (other_text, other_schedule) = drawn(b"a"), drawn(b"b")
    assert text != other_text
    assert len(schedule) > 3
    assert not set(schedule) & set(other_schedule)


def test_a_seed_in_between_keeps_what_has_begun(idle: bp.Recording) -> None:
    plan = wire.plan(kind("freeze", 1, 2, 3, "target a.1", "begin container pause a.1",
                          "end container unpause a.1"))  # fmt: skip
    branch = future(idle, plan)
    branch.wait_until(branch.events.where(type="fault.start"), cap=30)
    ((_, begin, *_, duration),) = begun(branch)
    branches = [branch.end.branch() for _ in range(2)]
    say(branches[1], wire.seed(b"other"))
    ends = [of(b.wait(3.5), "fault.end")[0].vtime for b in branches]
    assert ends[0] == pytest.approx(ends[1], abs=LATE)
    assert ends[0] - begin == pytest.approx(int(duration) / SECOND, abs=LATE)


# -- the schedule


def test_rates_and_gaps_are_those_of_a_poisson_process(idle: bp.Recording) -> None:
    seconds = 300
    plan = kind("often", 1, 0, 0, "target x", "begin sh true") + kind("seldom", 5)
    branch = future(idle, wire.plan(plan)).wait(seconds)
    for type_, mean in (("often", 1), ("seldom", 5)):
        instants = [1.0, *(at for _, at, name, *_ in begun(branch) if name == type_)]
        gaps = [b - a for a, b in itertools.pairwise(instants)]
        expected = seconds / mean
        assert abs(len(gaps) - expected) < 4 * math.sqrt(expected)
        within = sum(gap < mean * math.log(2) for gap in gaps)  # the median of exponential gaps
        assert abs(within - len(gaps) / 2) < 4 * math.sqrt(len(gaps) / 4)
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["over"] * len(begun(branch))
    assert of(branch, "error") == []


def test_numbers_follow_time_and_draws_are_within_bounds(idle: bp.Recording) -> None:
    lines = ["param load -3 3", *(f"target t{i}" for i in range(4))]
    plan = kind("one", 0.2, 0.5, 1, *lines) + kind("two", 0.3)
    faults = begun(future(idle, wire.plan(plan)).wait(20))
    numbers = [int(number) for number, *_ in faults]
    assert numbers == sorted(set(numbers)) and len(numbers) > 60
    ones = [fault for fault in faults if fault[2] == "one"]
    assert all(0.5 * SECOND <= int(duration) <= SECOND for *_, duration in ones)
    assert {params for *_, params, _ in ones} == {f"load={i}" for i in range(-3, 4)}
    assert {target for _, _, _, target, *_ in ones} == {f"t{i}" for i in range(4)}
    held: dict[str, float] = {}
    for _, at, _, target, _, duration in ones:
        assert at >= held.get(target, 0)  # nobody else held it
        held[target] = at + int(duration) / SECOND
    assert len(ones) < numbers[-1] - sum(fault[2] == "two" for fault in faults)  # some were lost


def test_faults_begin_at_the_drawn_instant_not_at_a_tick(idle: bp.Recording) -> None:
    branch = future(idle, wire.plan(once("x", 2.0033, 2.0033, 1))).wait(2)
    ((_, at, *_),) = begun(branch)
    assert at == pytest.approx(2.0033, abs=LATE)


def test_a_plan_may_come_before_set_up(idle: bp.Recording) -> None:
    plan = wire.plan(once("x", 0.5, 0.5, 1) + f"quiet 0 {100 * MS}\n")
    commands = [i.data for i in idle.manifest.inputs]
    with Machine(build(COMPOSE).path) as machine:
        machine.run(3, plan, *commands)
        (complete,), (start,) = machine.events("setup.complete"), machine.events("fault.start")
    assert start.at - complete.at == pytest.approx(SECOND / 2, abs=LATE * SECOND)


# -- once


def test_once_is_at_most_once_with_its_chance(idle: bp.Recording) -> None:
    count, chance = 60, 0.4
    found = []
    for number in range(count):
        faults = begun(
            future(idle, wire.plan(once("x", 1.5, 2, chance)), seed=b"%d" % number).wait(1.2)
        )
        found += [at for _, at, *_ in faults]
        assert len(faults) <= 1
    assert abs(len(found) - count * chance) < 4 * math.sqrt(count * chance * (1 - chance))
    assert all(1.5 <= at <= 2.001 for at in found)
    assert min(found) < 1.6 and max(found) > 1.9


def test_a_seed_redraws_what_has_not_happened_given_that_it_has_not(idle: bp.Recording) -> None:
    """p = 1/2 over [2, 4] s; if not by 3 s, then with 1/4 / (1 - 1/4) = 1/3 by 4 s."""
    plan = wire.plan(once("x", 2, 4, 0.5))
    late = next(
        branch
        for number in itertools.count()
        if not begun(branch := future(idle, plan, seed=b"%d" % number).wait(2))
    )
    count, happened = 90, 0
    for number in range(count):
        branch = say(late.end.branch(), wire.seed(b"%d" % number)).wait(1.1)
        instants = [at for _, at, *_ in begun(branch)]
        assert all(3 < at <= 4.001 for at in instants)
        happened += len(instants)
    assert abs(happened - count / 3) < 4 * math.sqrt(count * 2 / 9)


def test_a_certain_fault_stays_certain_and_does_not_come_twice(idle: bp.Recording) -> None:
    branch = future(idle, wire.plan(once("x", 2, 3, 1)))
    for number in range(20):
        say(branch, wire.seed(b"%d" % number)).wait(0.15)
    ((_, at, *_),) = begun(branch)
    assert 2 <= at <= 3.001


# -- quiet, pause, skip, heal


STEADY = kind("hold", 0.1, 0.3, 0.5, *(f"target {i}" for i in range(9))) + kind("blink", 0.1)


def test_quiet_windows(idle: bp.Recording) -> None:
    plan = STEADY + f"quiet {3 * SECOND} {4 * SECOND}\nquiet {6 * SECOND} {6 * SECOND + 500 * MS}\n"
    direct = wire.fault("b1", "direct", "x", "", 3 * SECOND, "", "")
    branch = future(idle, wire.plan(plan), direct).wait(7)
    for begin, end in ((3, 4), (6, 6.5)):
        assert not [at for _, at, *_ in begun(branch) if begin <= at < end]
        ended = [e for e in of(branch, "fault.end") if begin <= e.vtime < begin + 1e-3]
        assert {e.fields["why"] for e in ended} == {"paused"} and ended
        within = [e for e in of(branch, "fault.end") if begin + 1e-3 <= e.vtime < end]
        assert [(e.fields["id"], e.fields["why"]) for e in within] in ([], [("b1", "over")])
        assert [at for _, at, *_ in begun(branch) if end <= at < end + 0.5]


def test_pausing_loses_faults_but_shifts_none(idle: bp.Recording) -> None:
    plan = wire.plan(kind("hold", 0.1, 0.15, 0.2) + kind("blink", 0.1))
    whole = future(idle, plan).wait(3)
    branch = future(idle, plan).wait(1)
    say(branch, wire.fault("b1", "direct", "x", "", 3 * SECOND, "", "")).wait(0.1)
    say(branch, wire.injector("pause")).wait(1)
    say(branch, wire.injector("unpause")).wait(0.9)
    (b1,) = [e for e in of(branch, "fault.end") if e.fields["id"] == "b1"]
    assert b1.fields["why"] == "paused"
    assert b1.vtime == pytest.approx(2.1, abs=2 * TICK)
    faults = [fault for fault in begun(branch) if fault[0] != "b1"]
    assert not [at for _, at, *_ in faults if 2.1 + 2 * TICK < at < 3.1]
    before, after = ([f for f in each if f[2] == "blink"] for each in (begun(whole), faults))
    missed = [f for f in before if f[0] not in {g[0] for g in after}]
    assert missed and len(missed) == len(before) - len(after)
    assert all(2.1 < at < 3.1 + 2 * TICK for _, at, *_ in missed)


def test_a_skipped_fault_is_missed_by_no_other(idle: bp.Recording) -> None:
    plan = wire.plan(kind("x", 0.3, 0, 0, "param p 1 100", "target t") + kind("y", 0.3))
    whole = begun(future(idle, plan).wait(5))
    number = whole[4][0]
    branch = future(idle, plan, wire.injector("skip", int(number))).wait(5)
    without = begun(branch)
    assert [f[0] for f in without] == [f[0] for f in whole if f[0] != number]
    for before, after in zip([f for f in whole if f[0] != number], without, strict=True):
        assert after[1] == pytest.approx(before[1], abs=LATE)
        assert after[2:] == before[2:]
    say(branch, wire.injector("skip", 1)).wait(0.1)
    assert [e.text for e in of(branch, "error")] == ["cannot be skipped: its time has passed"]


def test_healing(idle: bp.Recording) -> None:
    end = "sh echo {id} >> /tmp/healed"
    branch = future(
        idle, *(wire.fault(f"b{i}", "x", str(i), "", 9 * SECOND, "", end) for i in range(3))
    )
    say(branch.wait(0.5), wire.heal("b1")).wait(0.5)
    assert contents(branch, "/tmp/healed") == ["b1"]
    say(branch, wire.heal()).wait(0.5)
    assert sorted(contents(branch, "/tmp/healed")) == ["b0", "b1", "b2"]
    assert {e.fields["why"] for e in of(branch, "fault.end")} == {"healed"}
    say(branch, wire.heal("b1")).wait(0.1)
    (error,) = of(branch, "error")
    assert (error.fields["about"], error.text) == ("fault/b1", "heal: it is not active")


# -- actions


def test_parameters_are_filled_in(idle: bp.Recording) -> None:
    script = (
        'size=kept; echo "{size} {id} ${size} {other} 100%25" >> /tmp/said%0Aecho two >> /tmp/said'
    )
    plan = kind("x", 1, 0.1, 0.1, "param size 7 7", "target t", f"begin sh {script}",
                "end sh echo {size} >> /tmp/end")  # fmt: skip
    branch = future(idle, wire.plan(plan))
    branch.wait_until(branch.events.where(type="fault.end"), cap=60)
    assert contents(branch, "/tmp/said") == ["7 1 kept {other} 100%", "two"]
    assert contents(branch, "/tmp/end") == ["7"]
    assert begun(branch)[0][4] == "size=7"


def test_the_end_waits_for_the_beginning(idle: bp.Recording) -> None:
    begin = "sh sleep 0.5; echo begin >> /tmp/order"
    branch = future(
        idle, wire.fault("b1", "x", "t", "p=1", 100 * MS, begin, "sh echo end >> /tmp/order")
    )
    branch.wait(1)
    assert contents(branch, "/tmp/order") == ["begin", "end"]
    (end,) = of(branch, "fault.end")
    assert end.vtime > 1.5 and end.fields["why"] == "over"


def test_a_failing_script_is_told_and_undone(idle: bp.Recording) -> None:
    begin, end = "sh echo fine; echo first >&2; echo last >&2; exit 3", "sh echo > /tmp/undone"
    branch = future(
        idle,
        wire.fault("b1", "x", "t", "", 5 * SECOND, begin, end),
        wire.fault("b2", "x", "u", "", 0, "sh exit 4", end.replace("undone", "never")),
        wire.fault("b3", "x", "v", "", 200 * MS, "", "sh echo end >&2; false"),
        wire.fault("b4", "x", "w", "", 5 * SECOND, "nonsense", "sh true"),
    ).wait(1)
    assert {(e.fields["about"], e.text) for e in of(branch, "error")} == {
        ("fault/b1", "last"),
        ("fault/b2", "the script ended with code 4"),
        ("fault/b3", "end"),
        ("fault/b4", "there is no action nonsense"),
    }
    assert {e.fields["why"] for e in of(branch, "fault.end")} == {"failed"}
    assert len(of(branch, "fault.end")) == 4
    assert bash("ls /tmp").run(branch).output == "undone\n"


def test_what_a_container_cannot_take_is_not_undone(idle: bp.Recording) -> None:
    branch = future(idle, wire.container("kill", "a.1")).wait(0.5)
    say(
        branch,
        wire.fault("b1", "x", "a.1", "", 100 * MS, "container pause a.1", "container start a.1"),
    )
    branch.wait(0.5)
    (error,) = of(branch, "error")
    assert error.text == "pause: cannot be done to a container that is ended"
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["failed"]
    assert state(branch, "a.1") == "exited"


def test_a_malformed_plan_is_refused_and_the_old_one_stays(idle: bp.Recording) -> None:
    bad = ["kind x 5", "kind x 0 0 0", "kind x 5 2 1", "once x 5 4 1 0 0", "once x 1 2 1000001 0 0",
           "quiet 2 1", "param p 1 2", kind("x", 1) + "param p 2 1", "target t", "begin sh",
           kind("x", 1) + "kind y 5 0 0\nend sh true", "nonsense", "kind x -5 0 0",
           f"kind x {2**64} 0 0"]  # fmt: skip
    branch = future(idle, wire.plan(kind("good", 0.2)), *map(wire.plan, bad)).wait(2)
    errors = of(branch, "error")
    assert [e.fields["about"] for e in errors] == ["faults"] * len(bad)
    assert all("cannot be understood" in e.text for e in errors)
    assert {type_ for _, _, type_, *_ in begun(branch)} == {"good"}
    say(branch, wire.plan("")).wait(0.1)
    count = len(begun(branch))
    assert len(begun(branch.wait(2))) == count


def test_the_clock_is_stepped_and_stepped_back(idle: bp.Recording) -> None:
    def ahead(branch: bp.Branch) -> float:
        """Seconds by which the wall clock is ahead of the monotonic one, to 10 ms."""
        script = "date +%s.%N; cut -d' ' -f1 /proc/uptime"
        wall, up = map(float, bash(script).run(branch).output.split())
        return wall - up

    branch = future(idle, wire.fault("b1", "clock", "guest", "", SECOND, "clock -3600000000000",
                                     "clock --3600000000000"))  # fmt: skip
    usual = ahead(idle.at(1).branch())
    assert ahead(branch.wait(0.2)) - usual == pytest.approx(-3600, abs=0.03)
    assert ahead(branch.wait(1)) - usual == pytest.approx(0, abs=0.03)


# -- containers


def exits(branch: bp.Branch) -> list[tuple[str, str, str]]:
    return [
        (e.container, e.fields["code"], e.fields["asked"]) for e in of(branch, "container.exit")
    ]


def test_exits_tell_whether_somebody_asked_for_them(idle: bp.Recording) -> None:
    kill = wire.fault(
        "b1", "kill", "a.1", "", 500 * MS, "container kill a.1", "container start a.1"
    )
    branch = future(idle, kill).wait(1)
    assert exits(branch) == [("a.1", "137", "1")]
    assert state(branch, "a.1") == "running"
    for container in ("a.1", "b.1"):
        starts = of(branch, "container.start", start=-5)
        pid = [e.fields["pid"] for e in starts if e.container == container][-1]
        bash(f"kill -9 {pid}").run(branch)
    branch.wait(0.5)
    assert exits(branch)[1:] == [("a.1", "137", "0"), ("b.1", "137", "0")]
    branch.control("kill", "c.1")
    branch.control("kill", "b.1")
    branch.wait(1)
    assert exits(branch)[3:] == [("c.1", "137", "1"), ("b.1", "137", "1")]
    assert state(branch, "b.1") == "running"


def test_a_start_waits_for_the_end_that_was_asked_for(idle: bp.Recording) -> None:
    """The container ignores the stop signal, so its end comes after the grace period of 10 s."""
    stop = wire.fault("b1", "stop", "a.1", "", SECOND, "container stop a.1", "container start a.1")
    branch = future(idle, stop).wait(9.5)
    assert exits(branch) == []
    branch.wait(1)
    assert exits(branch) == [("a.1", "137", "1")]
    assert state(branch, "a.1") == "running"


def test_what_is_so_already_needs_no_undoing(idle: bp.Recording) -> None:
    """Container b restarts by its own policy, before the fault ends."""
    kill = wire.fault("b1", "kill", "b.1", "", SECOND, "container kill b.1", "container start b.1")
    frozen = wire.fault(
        "b2", "freeze", "a.1", "", SECOND, "container pause a.1", "container unpause a.1"
    )
    branch = future(idle, kill, frozen).wait(0.5)
    say(branch, wire.container("kill", "a.1")).wait(1)
    assert of(branch, "error") == []
    assert [e.fields["why"] for e in of(branch, "fault.end")] == ["over", "over"]
    assert [e.type for e in of(branch) if e.container == "b.1"] == []
    assert state(branch, "b.1") == "running"


# -- what programs tell


def test_lines_for_the_tester(idle: bp.Recording) -> None:
    branch = future(idle)
    pipe = "/run/branchpoint/sdk/a.1"
    bash(f"stat -c '%F %a' {pipe}; echo one > {pipe}; printf 'two\\nthr' > {pipe}").run(branch)
    bash(f"echo ee > {pipe}").run(branch)
    lines = [e for e in branch.events.where(start=1) if e.stream == "sdk"]
    assert [(e.container, e.text) for e in lines] == [("a.1", t) for t in ("one", "two", "three")]


def test_set_up_waits_for_the_word_of_a_program(tmp_path: Path) -> None:
    system = build(COMPOSE).system
    tree = layout.system_tree(system, find_images(system))
    told = tree.read("branchpoint/system.conf")
    tree.add_file("branchpoint/system.conf", b"setup sdk\n" + told)
    erofs.write_nvdimm(tree, tmp_path / "system")
    pipe = "/run/branchpoint/sdk/b.1"
    other = '{"antithesis_setup": {"status": "begun", "details": {"status": "complete"}}}'
    word = '{"antithesis_setup": {"status": "complete", "details": null}}'
    with Machine(tmp_path / "system") as machine:
        machine.run(2, wire.start())
        assert len(machine.events("container.start")) == 3
        machine.run(0.5, wire.exec(1, f"echo '{other}' > {pipe}; echo antithesis_setup > {pipe}"))
        assert machine.events("setup.complete") == []
        machine.run(0.5, wire.exec(2, f"echo '{word}' > {pipe}"))
        (complete,) = machine.events("setup.complete")
        (line,) = [
            r for r in machine.records if isinstance(r, wire.Line) and word.encode() == r.data
        ]
        assert (line.source, line.stream) == ("container/b.1", "sdk")
        assert 0 <= complete.at - line.at < LATE * SECOND


# -- noise


@pytest.fixture(scope="module")
def racing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program with a race between two threads, see its source."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    assert compiler, "gcc is needed for everything here; run: make setup"
    program = tmp_path_factory.mktemp("programs") / "lost_updates"
    source = HERE / "programs" / "lost_updates.c"
    subprocess.run([compiler, "-O2", "-static", "-pthread", "-o", program, source], check=True)
    return program


def race(run: bp.Recording, program: Path, *commands: bytes) -> tuple[int, int]:
    """How many updates were lost, and ns of the longest one."""
    branch = run.at(1).branch()
    branch.inject_file("/race", program, "a.1", mode=0o755)
    lost, longest = bash("/race").run(say(branch, *commands), "a.1").output.split()
    return int(lost), int(longest)


def test_noise_makes_threads_interleave(idle: bp.Recording, racing: Path) -> None:
    for seed in (b"1", b"2", b"3"):
        lost, longest = race(idle, racing, wire.seed(seed))
        assert lost == 0 and longest < 200_000
    noisy = [race(idle, racing, wire.seed(b"%d" % n), NOISE) for n in range(6)]
    assert all(lost > 0 and 300_000 < longest < 3 * MS for lost, longest in noisy)
    assert len(set(noisy)) == len(noisy)
    assert race(idle, racing, wire.seed(b"4"), NOISE) == noisy[4]
    assert race(idle, racing, wire.seed(b"4"), NOISE, wire.noise(0, MS))[0] == 0


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
    report = soak(subject, 20)
    assert report.replays == 20
    assert report.divergences == []
