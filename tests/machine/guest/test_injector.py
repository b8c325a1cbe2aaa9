"""The injector in the guest: its faults depend on the seed only, and end when they should."""

from __future__ import annotations

import itertools
import math

import pytest
from agent import (
    LATE,
    MIXED,
    MS,
    NOISE,
    SECOND,
    TICK,
    Machine,
    begun,
    contents,
    future,
    kind,
    of,
    once,
    say,
)
from places import IDLE

import branchpoint as bp
from branchpoint import bash
from branchpoint.guest import wire
from branchpoint.system import build

# -- seeds


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


@pytest.mark.long
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
        assert at >= held.get(target, 0)  # no other fault held it
        held[target] = at + int(duration) / SECOND
    assert len(ones) < numbers[-1] - sum(fault[2] == "two" for fault in faults)  # some were lost


def test_faults_begin_at_the_drawn_instant_not_at_a_tick(idle: bp.Recording) -> None:
    branch = future(idle, wire.plan(once("x", 2.0033, 2.0033, 1))).wait(2)
    ((_, at, *_),) = begun(branch)
    assert at == pytest.approx(2.0033, abs=LATE)


def test_a_plan_may_come_before_set_up(idle: bp.Recording) -> None:
    plan = wire.plan(once("x", 0.5, 0.5, 1) + f"quiet 0 {100 * MS}\n")
    commands = [i.data for i in idle.manifest.inputs]
    with Machine(build(IDLE).path) as machine:
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


def test_a_changed_plan_does_not_bring_back_what_has_happened(idle: bp.Recording) -> None:
    plan = once("x", 1.5, 1.5, 1) + once("y", 1.5, 9, 1)
    branch = future(idle, wire.plan(plan)).wait(1)
    done = {type_ for _, _, type_, *_ in begun(branch)}
    assert "x" in done
    later = once("x", 1.5, 4, 1)
    say(branch, wire.plan(plan + later + kind("z", 0.1))).wait(8)
    types = [type_ for _, _, type_, *_ in begun(branch)]
    assert (types.count("x"), types.count("y")) == (2, 1)
    assert "z" in types


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
    end = "sh echo {id} >> /run/healed"
    branch = future(
        idle, *(wire.fault(f"b{i}", "x", str(i), "", 9 * SECOND, "", end) for i in range(3))
    )
    say(branch.wait(0.5), wire.heal("b1")).wait(0.5)
    assert contents(branch, "/run/healed") == ["b1"]
    say(branch, wire.heal()).wait(0.5)
    assert sorted(contents(branch, "/run/healed")) == ["b0", "b1", "b2"]
    assert {e.fields["why"] for e in of(branch, "fault.end")} == {"healed"}
    say(branch, wire.heal("b1")).wait(0.1)
    (error,) = of(branch, "error")
    assert (error.fields["about"], error.text) == ("fault/b1", "heal: it is not active")
