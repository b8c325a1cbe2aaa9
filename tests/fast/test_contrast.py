"""What failing futures have that passing ones have not."""

from __future__ import annotations

import random

import pytest

from branchpoint.explore.contrast import compare, contrast
from branchpoint.explore.draws import LONGEST_CAUSE, Draw
from branchpoint.explore.future import Outcome, line_signature
from branchpoint.explore.proportion import difference
from branchpoint.explore.sample import looked_at
from branchpoint.timeline.events import Event

KILL = "fault kill primary.tip-retransmitter.1"


def draws(failed: bool, *futures: list[str]) -> list[Draw]:
    """Futures with these causes."""
    return [
        Draw(
            at=1,
            seed=seed,
            verdict="failed" if failed else "passed",
            failed_at=2 if failed else None,
            end=3,
            causes=causes,
        )
        for seed, causes in enumerate(futures)
    ]


SOME = [
    *draws(True, *[[KILL, "start db.1", "fault clog db.1"]] * 12, *[[KILL, "start db.1"]] * 7, []),
    *draws(
        False,
        [KILL, "start db.1"],
        ["start db.1"],
        *[["fault latency db.1"]] * 8,
        *[["fault clog db.1"]] * 10,
    ),
]


def test_the_decisive_cause_comes_first() -> None:
    found = contrast(SOME)
    assert str(found.rows[0]).startswith(f"{KILL}: 19/20 failing against 1/20 passing (+0.90, ")
    assert found.rows[0] in found.decisive
    assert [row.cause for row in found.decisive] == [KILL, "start db.1", "fault latency db.1"]
    assert found.rows[2].effect == pytest.approx(-0.4)
    assert [row.strength for row in found.rows] == sorted(
        (row.strength for row in found.rows), reverse=True
    )


def test_many_comparisons_make_each_interval_wider() -> None:
    found = contrast(SOME)
    assert found.compared == 4
    assert found.level == pytest.approx(1 - 0.05 / 4)
    alone = contrast(SOME, only="fault kill *")
    assert (alone.compared, alone.level) == (1, pytest.approx(0.95))
    row = alone.rows[0]
    assert (row.low, row.high) == pytest.approx(difference(19, 20, 1, 20))
    assert found.rows[0].low < row.low < row.high < found.rows[0].high
    assert "3 of 4 causes differ; intervals hold together with 95% (98.75% each)" in repr(found)


def test_the_table_has_the_same_numbers() -> None:
    frame = contrast(SOME).frame
    row = frame.set_index("cause").loc[KILL]
    assert tuple(row[["failing", "failed", "passing", "passed"]]) == (19, 20, 1, 20)
    assert row.low <= row.effect <= row.high


def test_what_is_always_there_tells_nothing() -> None:
    found = contrast([*draws(True, ["a", "b"], ["a"]), *draws(False, ["a"], ["a"])])
    assert [row.cause for row in found.rows] == ["b"]


def test_of_equals_what_came_first_comes_first() -> None:
    """A traceback is no cause of the crash that it tells of."""
    story = [KILL, "exit db.1", "a traceback"]
    found = contrast([*draws(False, *[["b", "a"]] * 9), *draws(True, *[story] * 9)])
    assert [row.cause for row in found.rows] == [*story, "b", "a"]


def test_censored_futures_are_left_out() -> None:
    lost = Draw(at=1, seed=99, verdict="censored", end=3, causes=[KILL])
    assert repr(contrast([*SOME, lost])) == repr(contrast(SOME))


def test_a_cause_counts_once_a_future() -> None:
    found = contrast([*draws(True, [KILL, KILL]), *draws(False, [])])
    assert (found.rows[0].failing, found.rows[0].failed) == (1, 1)


def test_with_one_kind_of_future_nothing_is_decided() -> None:
    assert contrast([]).decisive == []
    only_failing = contrast(draws(True, [KILL], [KILL], []))
    assert only_failing.decisive == []
    assert "0 of 1 causes differ" in repr(only_failing)


def test_names_of_strangers_are_inert() -> None:
    found = contrast([*draws(True, ["<script>\x1b[31m"]), *draws(False, [])])
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)
    assert len(contrast(draws(True, *[[f"{n:0200}"] for n in range(200)]))._repr_html_()) < 20_000


# -- many causes


def test_rare_causes_do_not_widen_the_intervals_of_others() -> None:
    """Each future has a line of its own, which cannot tell anything."""
    futures = [
        (failed, ["cause"] * failed + [f"line {n}"]) for n in range(40) for failed in [n < 20]
    ]
    found = compare(futures, "", many=True)
    assert [row.cause for row in found.rows] == ["cause"]
    assert found.level == pytest.approx(0.95)
    widened = compare(futures, "")
    assert (widened.compared, widened.level) == (41, pytest.approx(1 - 0.05 / 41))
    assert widened.rows[0].low < found.rows[0].low


def test_no_cause_that_differs_is_left_out_as_too_rare() -> None:
    chance = random.Random(1)
    for _ in range(50):
        futures = [
            (
                chance.random() < 0.4,
                [f"c{n}" for n in range(30) if chance.random() < 0.07 * (n % 6)],
            )
            for _ in range(chance.randint(4, 40))
        ]
        all_of_them = {row.cause for row in compare(futures, "").decisive}
        assert all_of_them <= {row.cause for row in compare(futures, "", many=True).decisive}


def test_few_differ_by_chance_alone() -> None:
    """In 200 samples without any difference, at most some 5 % may show one."""
    chance, wrong = random.Random(2), 0
    for _ in range(200):
        futures = [
            (n % 2 == 0, [f"c{i}" for i in range(20) if chance.random() < i / 20])
            for n in range(40)
        ]
        wrong += bool(compare(futures, "", many=True).decisive)
    assert wrong <= 20


# -- lines


def line(text: str, **changes: str) -> str:
    given = {"source": "container", "container": "db.1", "stream": "out"} | changes
    return line_signature(Event(at=1, text=text, **given))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("got 17 of 20 in 1.25s", "got # of # in #s"),
        ("2025-11-28T16:59:51.362900555-05:00 start", "# start"),
        ("[12:00:01,250] 10.89.5.61:8080 refused", "[#] # refused"),
        ("at 0xdeadBEEF, block 7f3a99c0", "at #, block #"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id #"),
        ("a defaced facade", "a defaced facade"),
        ("v8 engine x86_64", "v# engine x#_#"),
    ],
)
def test_lines_are_alike_whatever_the_numbers(text: str, signature: str) -> None:
    assert line(text) == f"log db.1: {signature}"


def test_lines_of_the_kernel_count_and_those_of_commands_do_not() -> None:
    assert line("oom: 5", source="kernel", container="") == "log kernel: oom: #"
    assert line("hello", source="process", container="") == ""
    assert line("   ") == ""
    assert len(line("x" * 70_000)) == LONGEST_CAUSE


def outcome(failed_at: int | None, **seen: int) -> Outcome:
    verdict = "passed" if failed_at is None else "failed"
    draw = Draw(at=0, seed=0, verdict=verdict, failed_at=failed_at, end=100)  # type: ignore[arg-type]
    return Outcome(draw, seen=seen)


def test_all_futures_are_looked_at_for_as_long() -> None:
    """What comes later than the failures does not seem to prevent them."""
    failing = [outcome(at, early=5) for at in (20, 40)]
    passing = [outcome(None, early=5, middle=30, late=90) for _ in range(4)]
    found = list(looked_at([*passing, *failing]))
    assert found == [
        (False, ["early"]),
        (False, ["early"]),
        (False, ["early", "middle"]),
        (False, ["early", "middle"]),
        (True, ["early"]),
        (True, ["early"]),
    ]
    assert list(looked_at(passing[:1])) == [(False, ["early", "middle", "late"])]
