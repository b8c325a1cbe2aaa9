"""Removing faults: which inputs change, what is concluded, how few faults are left."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import pytest
from likelihoods import recording
from recordings import ORIGIN, SECOND, event

from branchpoint.errors import BranchpointError, RecordingError
from branchpoint.events.event import Event
from branchpoint.futures.attribution import Attribution, Case, Rates, Removal, _rates
from branchpoint.futures.draws import Draw
from branchpoint.futures.interventions import Happened, Timeline
from branchpoint.futures.minimise import ddmin
from branchpoint.futures.recording import Recording
from branchpoint.futures.running.future import FutureSpec
from branchpoint.guest import wire
from branchpoint.timeline.failures import failure

TICK = wire.TICK


def began(second: float, number: int | str, kind: str, target: str) -> Event:
    fields = {"id": str(number), "type": kind, "target": target, "params": "", "for": "0"}
    return event(second, type="fault.start", source="agent", container="", fields=fields)


EVENTS = [
    began(3, 1, "latency", "web.1"),
    began(7.25, 3, "kill", "primary.tip-retransmitter.1"),
    began(9, 6, "kill", "<b>\x1b[31m"),
    event(11, "no such block"),
    began(12, 7, "kill", "web.1"),
]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Recording]:
    with recording(tmp_path / "x.branchpoint", EVENTS) as run:
        yield run


# -- inputs


def added(timeline: Timeline, removed: Sequence[Happened]) -> list[tuple[float, bytes]]:
    before = timeline.inputs
    after = timeline.without(removed)
    assert [i for i in after if i in before] == before
    return [((i.at - ORIGIN) / SECOND, i.data) for i in after if i not in before]


def test_a_drawn_fault_is_skipped_before_it_begins(run: Recording) -> None:
    timeline = Timeline(run)
    assert [str(fault) for fault in timeline.faults[:2]] == [
        "latency of web.1 at 3.000 s",
        "kill of primary.tip-retransmitter.1 at 7.250 s",
    ]
    assert added(timeline, [timeline.faults[-1]]) == [(11.95, wire.injector("skip", 7))]


def test_draws_that_were_lost_stay_lost(run: Recording) -> None:
    """Without a fault, a later fault could hit a target that the first one would have held."""
    timeline = Timeline(run)
    lost = [wire.injector("skip", number) for number in (4, 5)]
    assert added(timeline, [timeline.faults[1]]) == [
        (7.2, data) for data in (wire.injector("skip", 3), *lost)
    ]
    everything = added(timeline, timeline.faults)
    assert sorted(data for _, data in everything) == sorted(
        wire.injector("skip", number) for number in range(1, 8)
    )
    # Numbers of other draws follow a new seed: none of these is skipped.
    seeded = timeline.seeded(timeline.faults[1], 5, None, removed=True)
    assert [i.data for i in seeded if b"skip" in i.data] == [wire.injector("skip", 3)]
    assert [i.at for i in seeded if i.kind == "seed"] == [ORIGIN + 7_250_000_001] * 2


def test_faults_after_the_failure_are_skipped_where_one_before_it_is_removed(
    run: Recording,
) -> None:
    """One of them could bring it about before the horizon, as if none had been removed."""
    case = Case(run, failure("log:*:no such block"), None, None)
    assert [fault.id for fault in case.faults] == ["1", "3", "6"]
    given = {i.data for i in case.without(case.faults[2:])}
    assert {wire.injector("skip", number) for number in (6, 7)} <= given
    control = case.control(case.timeline.begin(case.faults[0]))
    later = wire.injector("skip", 7)
    assert later in {i.data for i in control}, "else it would differ in more than was removed"
    assert wire.injector("skip", 6) not in {i.data for i in control}
    last = failure(check=lambda event: event.type == "fault.start" and event.vtime > 10)
    case = Case(run, last, None, None)
    assert case.happened == case.timeline.faults[3].at
    given = {i.data for i in case.without(case.faults[2:])}
    assert wire.injector("skip", 7) not in given, "it is the failure"


def test_a_future_leaves_the_recording_where_something_differs(run: Recording) -> None:
    timeline = Timeline(run)
    fault = timeline.faults[1]
    job = timeline.job(timeline.without([fault]), run.end.at)
    assert job.at == timeline.begin(fault) == ORIGIN + 7_200_000_000
    assert not job.recorded and job.seed is None
    assert [i.data for i in job.inputs] == [wire.injector("skip", n) for n in (3, 4, 5)]
    assert timeline.job(timeline.inputs, ORIGIN + 5).at == ORIGIN + 5
    assert timeline.leaves(timeline.inputs) == run.end.at


def test_numbers_that_a_guest_made_up_cost_nothing(tmp_path: Path) -> None:
    events = [began(1, 1, "kill", "a"), began(2, 10**15, "kill", "b"), began(3, "b7", "x", "")]
    with recording(tmp_path / "y.branchpoint", events) as run:
        timeline = Timeline(run)
        with pytest.raises(BranchpointError, match="more than 10000 faults"):
            timeline.without(timeline.faults[:1])
        with pytest.raises(BranchpointError, match=r"no input .* asked for x at 3.000 s"):
            timeline.begin(timeline.faults[2])


def test_what_cannot_be_asked(run: Recording, tmp_path: Path) -> None:
    with pytest.raises(BranchpointError, match=r"no faults before 11.000 s") as caught:
        run.attribute("log:*:no such block", of=2.5, horizon=run.at(11))
    assert "run.likelihood" in caught.value.hint
    with pytest.raises(BranchpointError, match="must be 0 or more"):
        run.attribute("log:*:no such block", seeds=-1)
    with pytest.raises(RecordingError, match="exists already"):
        run.minimise("log:*:no such block", run.path)
    with pytest.raises(BranchpointError, match="must be at least 1"):
        run.contrast(3, "log:*:no such block", futures=0)
    with (
        recording(tmp_path / "z.branchpoint", []) as other,
        pytest.raises(BranchpointError, match=r"moment of z.branchpoint, not of x.branchpoint"),
    ):
        run.attribute("log:*:no such block", of=other.end)


# -- conclusions


def draw(failed: bool) -> Draw:
    return Draw(
        at=ORIGIN,
        seed=0,
        verdict="failed" if failed else "passed",
        failed_at=ORIGIN + 11 * SECOND if failed else None,
        end=ORIGIN + 12 * SECOND,
    )


def concluded(
    run: Recording, fails: Sequence[bool], *, control: bool = True, bare: bool = False,
    rates: Sequence[Rates | None] = (None, None, None),
) -> Attribution:  # fmt: skip
    timeline = Timeline(run)
    rows = [
        Removal(fault, draw(failed), FutureSpec(ORIGIN, None), f"id{number}", rates[number])
        for number, (fault, failed) in enumerate(zip(timeline.faults, fails, strict=False))
    ]
    return Attribution(timeline, "log: no such block", draw(control), rows, draw(bare))


def test_the_one_that_decides_is_named(run: Recording) -> None:
    found = concluded(run, [True, False, True])
    assert found.conclusion == [
        "without kill of primary.tip-retransmitter.1 at 7.250 s the failure does not happen"
    ]
    assert [row.fault.id for row in found.decisive] == ["3"]
    kill = "kill of primary.tip-retransmitter.1 at 7.250 s"
    assert repr(found.decisive) == f"[<without {kill} the failure does not happen>]"
    assert repr(found.rows[0]).endswith("the failure happens>")
    assert repr(found.decisive[0].fault) == f"<{kill}>"
    assert repr(found).splitlines()[:3] == [
        "log: no such block",
        "without                                         the failure",
        "latency of web.1 at 3.000 s                     happens at 11.000 s",
    ]
    frame = found.frame.set_index("id")
    assert list(frame["without"]) == ["failed", "passed", "failed"]
    assert frame.loc["3", "branch"] == "id1"
    assert "present" not in frame


def test_where_none_decides_alone_all_of_them_may(run: Recording) -> None:
    words = "without any single one of its 3 faults the failure happens all the same"
    assert concluded(run, [True] * 3).conclusion == [
        words, "without all of them it does not: run.minimise finds a set that is enough"
    ]  # fmt: skip
    assert concluded(run, [True] * 3, bare=True).conclusion == [words, "without all of them, too"]


def test_a_future_that_ended_early_is_no_verdict(run: Recording) -> None:
    """Neither of a fault, nor of all of them, nor of the control."""
    lost = Draw(at=ORIGIN, seed=0, verdict="censored", end=ORIGIN)
    unknown = "what happens without all of them is not known: that future ended early"
    found = concluded(run, [True] * 3)
    rows = [dataclasses.replace(row, draw=lost) for row in found.rows]
    some = Attribution(Timeline(run), "x", draw(True), [*found.rows[:2], rows[2]], lost)
    assert some.conclusion == [
        "without any single one of 2 of its 3 faults the failure happens all the same",
        "of 1 of its 3 faults it is not known: the future without it ended early",
        unknown,
    ]
    none = Attribution(Timeline(run), "x", draw(True), rows, lost)
    assert none.decisive == [] and none.conclusion == [
        "of 3 of its 3 faults it is not known: the futures without them ended early", unknown
    ]  # fmt: skip
    found = Attribution(Timeline(run), "x", lost, found.rows)
    assert not found.stable and found.conclusion[0].startswith("whether the least disturbance")


def test_a_failure_that_anything_prevents_says_nothing_about_faults(run: Recording) -> None:
    found = concluded(run, [False] * 3, control=False)
    assert found.decisive == [] and not found.stable
    assert found.conclusion[-1] == "ask for rates: seeds=20"


def of_rates(*counts: tuple[int, int], of: int = 20) -> list[Rates]:
    """Rates of failed futures with and without each fault, as ``attribute`` gives them."""
    rates = _rates([[draw(i < count) for i in range(of)] for pair in counts for count in pair])
    return [each for each in rates if each is not None]


def test_rates_decide_where_they_are_known(run: Recording) -> None:
    rates = of_rates((10, 10), (19, 1), (10, 9))
    found = concluded(run, [False] * 3, control=False, rates=rates)
    assert [row.fault.id for row in found.decisive] == ["3"]
    assert found.conclusion[-1] == (
        "kill of primary.tip-retransmitter.1 at 7.250 s: 19/20 fail with it, 1/20 without it; "
        "by chance: under 0.1 %"
    )
    row = found.frame.set_index("id").loc["3"]
    assert (row["present"], row["present_n"], row["absent"], row["absent_n"]) == (19, 20, 1, 20)
    assert row["present_low"] < 19 / 20 < row["present_high"]
    assert row["low"] < row["effect"] < row["high"] < 0
    assert row["chance"] < 0.001
    assert "19/20" in repr(found) and "19/20" in found._repr_html_()


def test_a_fault_that_prevents_the_failure_does_not_decide_it(run: Recording) -> None:
    rates = of_rates((1, 19), (10, 10), (10, 10))
    found = concluded(run, [True] * 3, rates=rates)
    assert rates[0].found and found.decisive == []


def test_too_few_futures_say_so_and_how_many_would_do(run: Recording) -> None:
    found = concluded(run, [False] * 3, control=False, rates=of_rates((4, 0), (4, 4), (4, 4), of=4))
    assert found.decisive == []
    assert found.conclusion[-1] == "too few futures to tell: ask for seeds=5 or more"
    enough = concluded(run, [False] * 3, control=False, rates=of_rates((5, 0), *[(5, 5)] * 2, of=5))
    assert [row.fault.id for row in enough.decisive] == ["1"]
    none = concluded(run, [False] * 3, control=False, rates=of_rates(*[(5, 5)] * 3, of=5))
    assert none.conclusion[-1].startswith("removing a fault never makes")


def test_futures_that_ended_early_are_in_no_rate() -> None:
    lost = Draw(at=ORIGIN, seed=0, verdict="censored", end=ORIGIN)
    (rates,) = _rates([[draw(True), lost], [lost, lost]])
    assert rates is not None
    assert (str(rates.present), str(rates.absent)) == ("1/1", "0/0")
    assert rates.chance == 1 and not rates.found


def test_a_fault_whose_futures_are_not_all_known_has_no_rate() -> None:
    """It counts as a test all the same: stopping early must not produce more findings."""
    whole = [[draw(True)] * 5, [draw(False)] * 5]
    (alone,) = _rates(whole)
    known, unknown = _rates([*whole, [draw(True)] * 5, [draw(False)] * 4 + [None]])
    assert alone is not None and known is not None and unknown is None
    assert known.chance == pytest.approx(2 * alone.chance)


def test_a_future_without_a_fault_is_told_in_the_same_words_everywhere(run: Recording) -> None:
    timeline = Timeline(run)
    lost = Draw(at=ORIGIN, seed=0, verdict="censored", end=ORIGIN + 12 * SECOND)
    for drawn, words, cell in (
        (draw(False), "does not happen", "does not happen"),
        (draw(True), "happens", "happens at 11.000 s"),
        (lost, "may happen: it ended early", "may happen: it ended early"),
    ):
        row = Removal(timeline.faults[0], drawn, FutureSpec(ORIGIN, None), "id")
        sentence = f"without latency of web.1 at 3.000 s the failure {words}"
        assert (str(row), repr(row)) == (sentence, f"<{sentence}>")
        found = Attribution(timeline, "log: no such block", draw(True), [row])
        assert re.search(rf"latency of web.1 at 3.000 s +{re.escape(cell)}$", repr(found), re.M)
        assert (sentence in found.conclusion) == (drawn.verdict == "passed")


def test_what_was_stopped_says_how_much_it_has_not_looked_at(run: Recording) -> None:
    timeline = Timeline(run)
    row = Removal(timeline.faults[0], draw(True), FutureSpec(ORIGIN, None), "id")
    found = Attribution(timeline, "log: no such block", draw(True), [row], None, 2)
    assert found.conclusion == [
        "without any single one of 1 of its 3 faults the failure happens all the same",
        "stopped early: 2 more faults are not looked at",
    ]


def test_names_of_strangers_are_inert(run: Recording) -> None:
    found = concluded(run, [True, True, False])
    assert "<b>" not in found._repr_html_()
    assert "\x1b" not in repr(found) + found._repr_html_()


# -- delta debugging


def counting(
    needed: Callable[[set[int]], bool],
) -> tuple[list[list[int]], Callable[..., int | None]]:
    """What was tried, and the function that tries it."""
    tried: list[list[int]] = []

    def first(sets: list[list[int]]) -> int | None:
        for number, kept in enumerate(sets):
            tried.append(kept)
            if needed(set(kept)):
                return number
        return None

    return tried, first


@pytest.mark.parametrize("size", range(1, 4))
def test_exactly_the_needed_ones_are_left(size: int) -> None:
    for needed in combinations(range(9), size):
        _, first = counting(set(needed).issubset)
        assert ddmin(range(9), first) == list(needed)


def test_nothing_is_left_where_nothing_is_needed() -> None:
    tried, first = counting(lambda _: True)
    assert ddmin(range(9), first) == []
    assert tried == [[]]
    assert ddmin([], first) == []


def test_of_several_reasons_one_is_left() -> None:
    _, first = counting(lambda kept: {1, 6} <= kept or {3, 4, 5} <= kept or 8 in kept)
    kept = ddmin(range(8), first)
    assert kept in ([1, 6], [3, 4, 5])


def test_no_single_one_can_be_taken_away_even_where_more_do_not_fail_more() -> None:
    def odd(kept: set[int]) -> bool:
        return (bool(kept) and sum(kept) % 7 == 0 and 0 not in kept) or len(kept) == 8

    _, first = counting(odd)
    kept = ddmin(range(8), first)
    assert odd(set(kept))
    assert not any(odd(set(kept) - {one}) for one in kept)


def test_few_are_found_among_many_in_few_tries() -> None:
    tried, first = counting({17}.issubset)
    smaller: list[list[int]] = []
    assert ddmin(range(64), first, smaller.append) == [17]
    assert len(tried) < 16
    assert smaller[-1] == [17] and all(17 in kept for kept in smaller)
    assert [len(kept) for kept in smaller] == sorted((map(len, smaller)), reverse=True)
