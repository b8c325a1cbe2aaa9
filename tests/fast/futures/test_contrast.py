"""What failing futures have in common that passing futures do not have."""

from __future__ import annotations

import re

import pytest

from branchpoint.errors import BranchpointError
from branchpoint.events.event import Event
from branchpoint.futures.contrast import Compared, compare, contrast
from branchpoint.futures.draws import LONGEST_CAUSE, Draw
from branchpoint.futures.running.signatures import line_signature
from branchpoint.futures.statistics.proportion import difference

KILL = "fault kill primary.tip-retransmitter.1"


def draws(failed: bool, *futures: list[str], dated: bool = True) -> list[Draw]:
    """Futures with these causes, which all happened in the first ns."""
    return [
        Draw(
            at=1,
            seed=seed,
            verdict="failed" if failed else "passed",
            failed_at=2 if failed else None,
            end=3,
            causes=causes,
            instants=[1] * len(causes) if dated else [],
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
    assert repr(found).splitlines() == [
        "futures: 20 failing, 20 passing",
        "3 of 4 causes differ by more than chance does in 5 of 100 contrasts",
        f"{KILL}: in 19 of 20 failing, 1 of 20 passing futures; by chance: under 0.1 %",
        "start db.1: in 19 of 20 failing, 2 of 20 passing futures; by chance: under 0.1 %",
        "fault latency db.1: in 0 of 20 failing, 8 of 20 passing futures; by chance: 0.5 %",
    ]
    assert [row.cause for row in found.decisive] == [KILL, "start db.1", "fault latency db.1"]
    assert found.rows[2].effect == pytest.approx(-0.4)
    chances = [row.chance for row in found.rows]
    assert chances == sorted(chances)


def test_more_causes_make_each_more_probable_by_chance() -> None:
    found = contrast(SOME)
    alone = contrast(SOME, only="fault latency *")
    assert (found.compared, alone.compared) == (4, 1)
    assert alone.rows[0].chance == pytest.approx(alone.rows[0].alone)
    assert found.rows[2].alone == alone.rows[0].alone
    assert found.rows[2].chance > 1.5 * alone.rows[0].chance
    assert "1 of 1 cause differs" in repr(alone)


def test_intervals_are_those_of_each_cause_alone() -> None:
    row = contrast(SOME).rows[0]
    assert (row.low, row.high) == pytest.approx(difference(19, 20, 1, 20))
    assert "95" not in repr(contrast(SOME))


def test_the_table_has_the_same_numbers() -> None:
    frame = contrast(SOME).frame
    row = frame.set_index("cause").loc[KILL]
    assert tuple(row[["failing", "failed", "passing", "passed"]]) == (19, 20, 1, 20)
    assert row.low <= row.effect <= row.high
    assert row.alone < row.chance < 1e-6
    assert list(frame.group) == [0, 1, 2, 3]


def test_what_is_always_there_tells_nothing() -> None:
    found = contrast([*draws(True, ["a", "b"], ["a"]), *draws(False, ["a"], ["a"])])
    assert [row.cause for row in found.rows] == ["b"]
    alike = contrast([*draws(True, *[["a"]] * 9), *draws(False, *[["a"]] * 9)])
    assert "nothing happened in some of these futures and not in others" in repr(alike)


def test_of_equals_what_came_first_comes_first() -> None:
    """A traceback is not a cause of the crash that it reports."""
    story = [KILL, "exit db.1", "a traceback"]
    found = contrast([*draws(False, *[["b", "a"]] * 9), *draws(True, *[story] * 9)])
    assert [row.cause for row in found.rows] == [*story, "b", "a"]


def test_what_happens_together_is_told_once() -> None:
    """Otherwise a traceback of twenty lines would hide everything that comes after it."""
    story = [KILL, "exit db.1", *(f"line {n}" for n in range(20))]
    rare = ["fault clog db.1"]
    found = contrast([*draws(True, *[story + rare] * 8, story), *draws(False, *[[]] * 30, rare)])
    lines = repr(found).splitlines()[2:]
    assert [line.partition(": in")[0] for line in lines] == [
        f"{KILL} (and 21 more in the same futures)", "fault clog db.1"
    ]  # fmt: skip
    assert len(found.rows) == 23
    page = found._repr_html_()
    assert "(and 21 more in the same futures)" in page
    assert page.count("<tr>") == 3


def test_only_the_first_groups_are_told() -> None:
    failing = [[f"c{n}" for n in range(20) if n != left] for left in range(20)]
    found = contrast([*draws(True, *failing), *draws(False, *[[]] * 40)])
    lines = repr(found).splitlines()
    assert len(lines) == 2 + 12 + 1
    assert lines[-1] == "... and 8 causes more"
    assert "and 8 causes more" in found._repr_html_()


def test_where_none_differs_the_nearest_are_told() -> None:
    found = contrast(
        [*draws(True, *[["a", "b"], ["c"]] * 6), *draws(False, *[["a"], ["b", "d"], ["c"]] * 4)]
    )
    lines = repr(found).splitlines()
    assert lines[1] == "none of 4 causes differs by more than chance; the nearest:"
    assert len(lines) == 5
    assert all(re.search(r"by chance: \d+ %$", line) for line in lines[2:])
    assert found.decisive == [] and not found.too_few


def test_censored_futures_are_told_and_left_out() -> None:
    lost = Draw(at=1, seed=99, verdict="censored", end=3, causes=[KILL])
    found = contrast([*SOME, lost])
    assert found.rows == contrast(SOME).rows
    assert "20 failing, 20 passing, 1 censored and not counted" in repr(found)


def test_a_cause_counts_once_a_future() -> None:
    found = compare([(True, [KILL, KILL]), (False, [])], "")
    assert (found.rows[0].failing, found.rows[0].failed) == (1, 1)


def test_names_of_strangers_are_inert() -> None:
    found = contrast([*draws(True, *[["<script>\x1b[31m"]] * 9), *draws(False, *[[]] * 9)])
    assert "&lt;script&gt;" in found._repr_html_()
    assert "<script>" not in found._repr_html_()
    assert "\x1b" not in repr(found)
    many = [[f"{n:0200}"] for n in range(200)]
    assert len(contrast(draws(True, *many))._repr_html_()) < 20_000


@pytest.mark.parametrize(
    ("chance", "words"),
    [
        (0.0, "under 0.1 %"), (0.0009, "under 0.1 %"), (0.0022, "0.2 %"), (0.013, "1.3 %"),
        (0.0499, "4.9 %"), (0.04999, "4.9 %"), (0.05, "5 %"), (0.05001, "5.1 %"), (0.23, "23 %"),
        (1.0, "100 %"),
    ],
)  # fmt: skip
def test_a_probability_stays_on_its_side_of_the_limit(chance: float, words: str) -> None:
    """Rounded to 5 %, the user could not see whether it was significant."""
    row = Compared(1, 2, 3, 4, -1, 1, alone=0.001, chance=chance, group=0, cause="a")
    assert str(row).endswith(f"by chance: {words}")
    assert row.found == (chance < 0.05)


# -- too few


def noisy(failed: int, passed: int, causes: int = 200) -> list[Draw]:
    """Futures that each have some of many causes; the failing ones also have KILL."""

    def some(number: int) -> list[str]:
        return [f"word {each}" for each in range(causes) if (each * 7 + number) % 37 == 0]

    failing = [[*some(number), KILL] for number in range(failed)]
    return [*draws(True, *failing), *draws(False, *[some(failed + n) for n in range(passed)])]


def test_with_too_few_failures_it_says_how_many_futures_would_do() -> None:
    found = contrast(noisy(1, 39))
    assert found.too_few and found.decisive == []
    assert repr(found).splitlines() == [
        "futures: 1 failing, 39 passing",
        "too few failures to tell: 1 of 40 futures failed",
        f"about {found.enough} futures would do: run.contrast(..., futures={found.enough})",
    ]
    assert "about" in found._repr_html_() and "<table>" not in found._repr_html_()
    assert found.enough is not None
    more = contrast(noisy(found.enough // 40, found.enough - found.enough // 40))
    assert not more.too_few
    assert [row.cause for row in more.decisive] == [KILL]


def test_too_few_may_pass_as_well() -> None:
    futures = [*draws(True, *[["a"], ["b"]] * 19), *draws(False, ["c"])]
    assert contrast(futures).too_few is False  # it lies in the only one, and nothing else does
    found = contrast([*futures, *draws(True, *[[f"d{n}"] for n in range(20)])])
    assert found.too_few
    assert "too few passing futures to tell: 1 of 59 futures passed" in repr(found)


@pytest.mark.parametrize(
    ("futures", "words", "where"),
    [
        (draws(True, [KILL], [KILL], []), "passing futures to tell: none of 3", "less often"),
        (draws(False, [KILL], []), "failures to tell: none of 2", "more often"),
    ],
)
def test_with_one_kind_of_future_nothing_is_decided(
    futures: list[Draw], words: str, where: str
) -> None:
    found = contrast(futures)
    assert found.decisive == [] and found.too_few and found.enough is None
    assert f"too few {words}" in repr(found)
    assert f"take a moment from which it fails {where}" in repr(found)


def test_without_futures_nothing_is_said() -> None:
    assert repr(contrast([])) == "futures: 0 failing, 0 passing\nno future failed or passed"


def test_a_perfect_cause_is_found_as_soon_as_there_are_not_too_few() -> None:
    for failed in range(1, 7):
        found = contrast(noisy(failed, 40))
        assert found.too_few != (KILL in [row.cause for row in found.decisive])
    assert not found.too_few


# -- draws of earlier versions


def test_draws_without_instants_are_not_compared() -> None:
    """Comparing whole passing futures with the beginnings of failing ones would be unfair."""
    new = [*draws(True, *[[KILL]] * 9), *draws(False, *[["a"]] * 9)]
    old = draws(False, ["a"], dated=False)
    with pytest.raises(BranchpointError, match="kept by an earlier version") as caught:
        contrast([*new, *old])
    assert "draw new ones: run.contrast(moment, failure)" in caught.value.hint


def test_those_that_failed_or_in_which_nothing_happened_need_none() -> None:
    old = [*draws(True, *[[KILL]] * 9, dated=False), *draws(False, *[[]] * 9, dated=False)]
    assert [row.cause for row in contrast(old).decisive] == [KILL]


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


def test_of_causes_that_are_as_odd_those_that_differ_more_come_first() -> None:
    found = contrast([*draws(True, ["b"]), *draws(False, ["a"], ["b"], [])])
    assert [row.alone for row in found.rows] == pytest.approx([1, 1])
    assert [(row.cause, round(row.effect, 2)) for row in found.rows] == [("b", 0.67), ("a", -0.33)]
