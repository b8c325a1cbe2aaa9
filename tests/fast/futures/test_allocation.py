"""Where futures are drawn: enough, not too many, and always the same ones."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from coinfutures import LENGTH, SECOND, SYSTEMS, Known, Runner, drawn, future, settings

from branchpoint.errors import BranchpointError
from branchpoint.futures.allocation import SEEDS, Allocation, Wanted
from branchpoint.futures.draws import Draw
from branchpoint.futures.statistics.proportion import half_width, most_trials
from branchpoint.futures.statistics.steps import Step, Steps
from branchpoint.futures.statistics.stopping import AIM, beginning, interval

COINS = SYSTEMS[0]
REPEATS = 20  # curves with different seeds; `make bench` draws a hundred, on machines


def counted(allocation: Allocation) -> dict[int, tuple[int, int]]:
    """For each point, how many futures failed, and how many there were."""
    found = dict.fromkeys(allocation.points, (0, 0))
    for draw in allocation.used():
        k, n = found[draw.at]
        found[draw.at] = (k + (draw.verdict == "failed"), n + (draw.verdict != "censored"))
    return found


def measured(allocation: Allocation, count: int) -> bool:
    """Whether so many points have the precision that was asked for."""
    return sum(n and half_width(k, n, AIM) <= 0.1 for k, n in counted(allocation).values()) >= count


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system.name)
def test_curves_hold_the_truth(system: Known) -> None:
    """Coverage, turning point and cost of curves with different seeds."""
    covered = points = near = futures = 0
    for seed in range(REPEATS):
        allocation, runner = drawn(system, settings(seed))
        rows: dict[int, list[bool]] = {}
        for draw in allocation.used():
            rows.setdefault(draw.at, []).append(draw.verdict == "failed")
        for at, row in rows.items():
            first = beginning(row, 0.1)
            low, high = interval(first.failed, first.counted, 0.1)
            covered += low <= system.chance(at / SECOND) <= high
            points += 1
        near += any(abs(step.at / SECOND - system.cause) <= 0.5 for step in steps_of(allocation))
        futures += len(runner.draws)
    assert covered >= 0.95 * points
    assert near >= 0.95 * REPEATS
    # For comparison: as many points, each with as many futures as the worst of them needs.
    shares = [system.chance(LENGTH / SECOND * i / 31) for i in range(32)]
    worst = max(next(n for n in range(1, 200) if half_width(p * n, n, AIM) <= 0.1) for p in shares)
    assert futures / REPEATS <= 32 * worst / 2


def test_equal_steps_are_told_apart_and_slow_changes_are_no_steps() -> None:
    """Three steps of a quarter each; and a failure that may happen at any time."""
    steps = ((6, 0.25), (12, 0.5), (18, 0.75))
    dice = Known("dice", lambda t: next((p for at, p in steps if t < at), 1.0), 0)
    hazard = Known("hazard", lambda t: 1 - 0.9 ** (30 - t), 0)
    apart = slow = 0
    for seed in range(REPEATS):
        found = [s.at / SECOND for s in steps_of(drawn(dice, settings(seed))[0]) if not s.gradual]
        apart += len(found) == 3 and all(
            abs(at - right) <= 0.5 for at, (right, _) in zip(found, steps, strict=True)
        )
        changes = steps_of(drawn(hazard, settings(seed))[0])
        slow += all(step.high - step.low > LENGTH / 4 for step in changes)
    assert apart >= 0.95 * REPEATS
    assert slow == REPEATS


def steps_of(allocation: Allocation) -> list[Step]:
    counts = counted(allocation)
    return Steps(list(counts), *zip(*counts.values(), strict=True)).steps


def test_the_curve_is_the_same_however_the_futures_come() -> None:
    """With many workers or one, in any order, stopped and begun again."""
    expected, _ = drawn(COINS, settings(3))
    for attempt in range(3):
        shuffle = random.Random(attempt)
        runner = Runner(COINS)
        allocation = Allocation(settings(3), runner.known)
        while jobs := allocation.jobs(shuffle.choice([1, 16, 500])):
            shuffle.shuffle(jobs)
            for _ in runner.run(jobs[: shuffle.randint(1, len(jobs))]):
                pass
            if shuffle.random() < 0.3:
                allocation = Allocation(settings(3), runner.known)
        assert list(allocation.used()) == list(expected.used())
        assert len(runner.draws) == len(list(expected.used()))


def test_no_seed_is_used_twice_at_a_point_or_by_another_curve() -> None:
    for seed in (0, 7):
        _, runner = drawn(COINS, settings(seed))
        assert {job.seed // SEEDS for job in runner.draws} == {seed}
        assert len(runner.draws) == len(set(runner.draws))


def test_it_begins_with_few_points_and_both_ends() -> None:
    allocation = Allocation(settings(), lambda at, seed: None)
    jobs = allocation.jobs()
    assert (jobs[0].at, jobs[-1].at) == (0, LENGTH)
    assert len(allocation.points) == 8
    assert len(jobs) == 8 * 16
    assert [job.at for job in jobs] == sorted(job.at for job in jobs)


def test_points_gather_where_the_curve_turns() -> None:
    allocation, _ = drawn(COINS, settings(1))
    gaps = list(pairwise(allocation.points))
    for cause in (10.3, 20.1):
        (before, after) = next(gap for gap in gaps if gap[0] <= cause * SECOND < gap[1])
        assert after - before <= SECOND // 4
    assert max(b - a for a, b in gaps) == LENGTH // 7 + 1


def test_what_is_certain_gets_few_futures() -> None:
    allocation, runner = drawn(SYSTEMS[3], settings())
    assert {n for k, n in counted(allocation).values() if k == n} <= {16, 19, 20}
    assert len(runner.draws) < 400


def test_jobs_fill_the_workers_with_what_is_needed_anyway() -> None:
    runner = Runner(COINS)
    allocation = Allocation(settings(), runner.known)
    while len(some := allocation.jobs(1)) > 2 * 16:  # those beside one gap
        for _ in runner.run(some):
            pass
    many = allocation.jobs(60)
    assert len(many) >= 60 > len(some)
    assert many[: len(some)] == some
    for _ in runner.run(many):
        pass
    while jobs := allocation.jobs(100):
        for _ in runner.run(jobs):
            pass
    assert set(runner.draws) == {Wanted(draw.at, draw.seed) for draw in allocation.used()}


def test_a_finer_curve_uses_what_is_there() -> None:
    _, runner = drawn(COINS, settings(precision=0.15))
    before = len(runner.draws)
    finer = Allocation(settings(precision=0.1), runner.known)
    while jobs := finer.jobs():
        for _ in runner.run(jobs):
            pass
    used = {Wanted(draw.at, draw.seed) for draw in finer.used()}
    assert len(used & set(list(runner.draws)[:before])) > 0.8 * before
    assert measured(finer, 8)


def test_the_expected_number_is_near_what_it_becomes() -> None:
    runner = Runner(COINS)
    allocation = Allocation(settings(), runner.known)
    for _ in runner.run(allocation.jobs()):
        pass
    allocation.jobs()  # looks at what there is
    early = len(runner.draws) + allocation.missing()
    while jobs := allocation.jobs():
        for _ in runner.run(jobs):
            assert allocation.missing() >= 1
    assert allocation.missing() == 0
    assert 0.5 * len(runner.draws) <= early <= 1.5 * len(runner.draws)


def test_a_slow_change_is_not_expected_to_be_placed() -> None:
    """It is not narrowed down, so near the end few futures are to come."""
    ramp = Known("ramp", lambda t: 0.1 + 0.8 * min(max((t - 8) / 12, 0), 1), 0)
    runner = Runner(ramp)
    allocation = Allocation(settings(), runner.known)
    told: list[tuple[int, int]] = []
    while jobs := allocation.jobs():
        told.append((len(runner.draws), allocation.missing()))
        for _ in runner.run(jobs):
            pass
    count, missing = next(pair for pair in told if pair[0] >= 0.9 * len(runner.draws))
    assert missing <= 0.1 * count


def test_nothing_is_spent_on_what_is_small_beside_the_largest_change() -> None:
    """Where 8 % fail all along, some points look as if they differed, which hundreds of futures
    would tell; but it is the step to 100 % that people ask about.
    """
    late = Known("late", lambda t: 0.08 if t < 20.1 else 1.0, 0)
    counts = [len(drawn(late, settings(seed))[1].draws) for seed in range(40)]
    assert max(counts) < 550, sorted(counts)


def test_a_flat_curve_needs_only_the_first_points() -> None:
    flat = Known("flat", lambda t: 0.0, 0)
    allocation, runner = drawn(flat, settings())
    assert len(allocation.points) == 8
    assert len(runner.draws) <= 8 * 20


def test_censored_futures_are_no_passes_and_do_not_go_on_for_ever() -> None:
    def censored(job: Wanted) -> Draw:
        return Draw(at=job.at, seed=job.seed, verdict="censored", end=job.at)

    draws: dict[Wanted, Draw] = {}
    allocation = Allocation(settings(points=4), lambda at, seed: draws.get(Wanted(at, seed)))
    hopeless = allocation.points[0]
    while jobs := allocation.jobs():
        for job in jobs:
            lost = job.at == hopeless or job.seed % 2
            draws[job] = censored(job) if lost else future(SYSTEMS[3], job)
    counts = counted(allocation)
    assert counts[hopeless] == (0, 0)
    assert sum(job.at == hopeless for job in draws) == 16
    assert measured(allocation, 3)
    rare: dict[Wanted, Draw] = {}
    allocation = Allocation(settings(points=2), lambda at, seed: rare.get(Wanted(at, seed)))
    while jobs := allocation.jobs():
        for job in jobs:
            rare[job] = censored(job) if job.seed % 16 else future(COINS, job)
    assert len(rare) <= 2 * 3 * most_trials(0.1, AIM)


def test_a_short_span_has_no_point_twice() -> None:
    allocation, _ = drawn(COINS, settings(start=20, end=22))
    assert allocation.points == [20, 21, 22]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"start": 5, "end": 5}, "start must be before end"),
        ({"points": 1}, "points"),
        ({"precision": 0.6}, "precision"),
        ({"resolution": 0}, "resolution"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_make_no_curve_are_refused(wrong: dict[str, float], words: str) -> None:
    with pytest.raises(BranchpointError, match=words):
        settings(**wrong)
