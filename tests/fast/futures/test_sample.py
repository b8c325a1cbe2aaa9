"""Futures from one moment: how many are drawn, and how long each is observed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from answers.luck import THE_CAUSE, Luck
from branchpoint.futures import sample
from branchpoint.futures.contrast import compare, contrast
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import Outcome
from branchpoint.futures.sample import drawn, looked_at
from branchpoint.futures.stretches import Seen, equal_stretches


def outcome(failed_at: int | None, verdict: str = "", **seen: int) -> Outcome:
    verdict = verdict or ("passed" if failed_at is None else "failed")
    draw = Draw(at=0, seed=0, verdict=verdict, failed_at=failed_at, end=100)  # type: ignore[arg-type]
    return Outcome(draw, seen=seen)


# -- how many


def drawing(verdicts: Callable[[int], str]) -> tuple[list[Outcome], list[int]]:
    """What is drawn when futures end like this, and the sizes of the batches."""
    batches: list[int] = []

    def run(numbers: range, note: str) -> list[Outcome]:
        assert numbers.start == sum(batches)
        assert bool(note) == bool(batches)
        batches.append(len(numbers))
        return [
            outcome(5 if verdicts(number) == "failed" else None, verdicts(number))
            for number in numbers
        ]

    return drawn(run, None), batches


def test_it_goes_on_until_enough_fail_and_enough_pass() -> None:
    found, batches = drawing(lambda n: "passed" if n % 20 else "failed")
    assert batches == [40, 40, 33]
    assert sum(each.draw.verdict == "failed" for each in found) == 6
    assert drawing(lambda n: "failed" if n % 20 else "passed")[1] == batches
    assert drawing(lambda n: "passed" if n % 8 else "failed")[1] == [40, 7]  # 5, and the sixth
    assert drawing(lambda n: "failed" if n % 5 else "passed")[1] == [40]


@pytest.mark.parametrize("verdict", ["failed", "passed", "censored"])
def test_it_ends_where_enough_never_come(verdict: str) -> None:
    found, batches = drawing(lambda n: verdict)
    assert len(found) == sum(batches) == sample.MOST
    assert batches == [40, 40, 40]


def test_a_number_that_was_asked_for_is_drawn_exactly() -> None:
    asked: list[range] = []

    def run(numbers: range, note: str) -> list[Outcome]:
        asked.append(numbers)
        return [outcome(None) for _ in numbers]

    assert len(drawn(run, 7)) == 7
    assert asked == [range(7)]


def test_what_causes_do_has_no_say_in_it() -> None:
    """Otherwise drawing could stop just when a cause looks significant."""
    for seed in range(20):
        luck = Luck(0.08, 20, perfect=bool(seed % 2)).runner(seed)
        seen: list[Outcome] = []

        def keep(numbers: range, note: str, luck=luck, seen=seen) -> list[Outcome]:  # type: ignore[no-untyped-def]
            seen += luck(numbers, note)
            return [msgspec.structs.replace(each, seen={}) for each in seen[numbers.start :]]

        blind = drawn(keep, None)
        full = drawn(Luck(0.08, 20, perfect=bool(seed % 2)).runner(seed), None)
        assert len(blind) == len(full)


def test_a_perfect_cause_among_three_hundred_is_found_when_one_in_twenty_fails() -> None:
    found = used = 0
    for seed in range(40):
        outcomes = drawn(Luck(0.05, 299, perfect=True).runner(seed), None)
        rows = compare(looked_at(outcomes, lines=True), "").decisive
        found += THE_CAUSE in [row.cause for row in rows]
        used += len(outcomes)
    assert found >= 38
    assert 40 * 80 < used < 40 * 120


# -- for how long


def test_all_futures_are_looked_at_for_as_long() -> None:
    """Events that come later than the failures must not seem to prevent them."""
    failing = [outcome(at, early=5) for at in (20, 40)]
    passing = [outcome(None, early=5, middle=30, late=90) for _ in range(4)]
    found = list(looked_at([*passing, *failing], lines=True))
    assert found == [
        (False, ["early"]),
        (False, ["early"]),
        (False, ["early", "middle"]),
        (False, ["early", "middle"]),
        (True, ["early"]),
        (True, ["early"]),
    ]
    assert list(looked_at(passing[:1], lines=True)) == [(False, ["early", "middle", "late"])]


def test_lines_can_be_left_out_and_censored_futures_are() -> None:
    talking = Outcome(outcome(None).draw, seen={"log a: x": 1, "exit a": 2})
    lost = outcome(None, "censored", exit=1)
    assert list(looked_at([talking, lost], lines=False)) == [(False, ["exit a"])]
    assert list(looked_at([talking, lost], lines=True)) == [(False, ["log a: x", "exit a"])]


def test_what_happens_in_the_instant_of_the_failure_counts_on_neither_side() -> None:
    failing, passing = Seen(20, {}), Seen(None, {"just before": 19, "then": 20})
    assert [*equal_stretches([failing, passing])] == [(True, []), (False, ["just before"])]


@pytest.mark.parametrize("passing", [1, 2, 3, 7, 40, 41, 99])
def test_the_passing_ones_are_cut_as_late_as_the_failing_ones_end(passing: int) -> None:
    """On average, however many there are of each kind."""
    ends = list(range(1, 42))
    clock = {str(second): second for second in range(50)}
    futures = [*(Seen(end, {}) for end in ends), *(Seen(None, clock) for _ in range(passing))]
    lengths = [len(causes) for failed, causes in equal_stretches(futures) if not failed]
    assert sum(lengths) / passing == pytest.approx(sum(ends) / len(ends), abs=0.5)


# -- nothing is found where nothing matters


@pytest.mark.parametrize(
    "luck",
    [
        Luck(0.05, 100),
        Luck(0.3, 30),
        Luck(0.3, 30, early=False),
        Luck(0.9, 30),
        Luck(0.9, 30, early=False),
    ],
    ids=lambda luck: f"{luck.chance:g}-{'early' if luck.early else 'late'}",
)
def test_what_does_not_matter_is_rarely_found(luck: Luck) -> None:
    """In at most 5 % of contrasts; of 150, chance allows a few more."""
    wrong = {"run": 0, "curve": 0}
    for seed in range(150):
        outcomes = drawn(luck.runner(seed), None)
        wrong["run"] += bool(compare(looked_at(outcomes, lines=True), "").decisive)
        draws = [each.draw for each in luck.outcomes(60, seed)]
        wrong["curve"] += bool(contrast(draws).decisive)
    assert max(wrong.values()) <= 12


def test_compared_whole_what_comes_late_seems_to_prevent_the_failure() -> None:
    """The mistake that equal stretches prevent; so the test above is able to detect it."""
    draws = [each.draw for each in Luck(0.3, 30).outcomes(60, 1)]
    whole = compare(((draw.verdict == "failed", draw.causes) for draw in draws), "")
    assert len(whole.decisive) >= 5
    assert all(row.effect < 0 for row in whole.decisive)
    assert contrast(draws).decisive == []
