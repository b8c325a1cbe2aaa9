"""What failing futures have that passing ones have not."""

from __future__ import annotations

import pytest

from branchpoint.explore.contrast import contrast
from branchpoint.explore.draws import Draw
from branchpoint.explore.proportion import difference

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
