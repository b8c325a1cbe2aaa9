"""Which decisions of a program decide: turned, one at a time, where it is known which does."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from places import HERE

import branchpoint as bp
from branchpoint.futures.culprits.decisions import Decisions
from branchpoint.futures.explaining import _decisions as in_words
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.machine.watching.bytecode import Jump
from branchpoint.timeline.replaying import checking

SYSTEM = HERE / "systems" / "decisions"
FAILS = bp.failure("exit:shop.1")
SECOND = 1_000_000_000
LENGTH = 12
"""Seconds of a future, in which the price changes 12 times on average."""


def line(text: str) -> int:
    """The number of the line that has this text."""
    lines = (SYSTEM / "shop.py").read_text().splitlines()
    return next(number for number, each in enumerate(lines, 1) if text in each)


def jump_of(found: Decisions, text: str) -> Jump:
    return next(each.decision.jump for each in found.rows if each.spot.line == line(text))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("decisions") / "shop.branchpoint"
    with bp.record(SYSTEM, path, duration=0.05) as made:
        yield made


@pytest.fixture(scope="module")
def found(run: bp.Recording) -> Decisions:
    return run.decisions(run.start, FAILS, horizon=LENGTH)


def test_the_one_that_decides_is_found(found: Decisions) -> None:
    """Neither the one that notices, with which it fails at once, nor the loop's."""
    (first,) = found.decisive
    assert (first.spot.file, first.spot.line) == ("/srv/shop.py", line("DECIDES"))
    assert first.spot.function == "price_of" and first.condition == (1, 1)
    assert first.text == 'if is_fresh(cache["age"]):  # DECIDES'
    assert first.before.failed == first.before.trials == first.after.trials >= 8
    assert (first.after.failed, first.censored, first.instead) == (0, 0, ())
    # The price is read anew, and not aged; what it says of a wrong price, it says no more.
    assert 0 < first.lost <= 4 and 0 < first.new <= 4
    assert found.rows[0] == first
    assert f"shop.py:{line('DECIDES')} price_of: fails in 8/8 → 0/8" in repr(found)
    assert "is_fresh" in found._repr_html_()
    frame = found.frame
    assert frame.found.tolist() == [True] + [False] * (len(frame) - 1)
    assert len(frame) == len(found.rows) > 2
    assert found.futures == 8 + 8 + len(found.rows) - 1


def test_an_explanation_has_it_in_words(found: Decisions) -> None:
    where = f"shop.py:{line('DECIDES')} price_of"
    assert in_words(found) == (
        f"With the condition in {where} (“{found.rows[0].text}”) turned, it fails "
        "in 0 of 8 futures instead of 8 of 8."
    )
    assert in_words(None) == ""
    none = Decisions(found.rows[1:], found.about, found.before)
    assert in_words(none).endswith(
        "turned, one at a time: none is found that prevents the failure."
    )


def test_what_is_looked_for_can_be_chosen(run: bp.Recording, found: Decisions) -> None:
    chosen = run.decisions(run.start, FAILS, horizon=LENGTH, only="*/shop.py price_of")
    (only,) = chosen.rows
    assert only.decision == found.rows[0].decision and only.found
    assert not run.decisions(run.start, FAILS, horizon=LENGTH, only="*/nothing.py").rows


@pytest.mark.long
def test_too_few_failures_are_told(run: bp.Recording) -> None:
    rare = run.decisions(run.start, bp.failure(exit="shop.1", code=3), horizon=LENGTH)
    assert rare.rows == [] and "too few failures to tell: 0/8 futures failed" in rare.conclusion


@pytest.mark.long
def test_turned_futures_replay_identically(
    run: bp.Recording, found: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After other futures, with another decision turned before, and each once more in a fresh
    emulator that comes from another state. Of what was turned nothing is left in the next one.
    """
    monkeypatch.setenv(checking.SETTING, "1")
    futures = Futures(run, FAILS, lambda at: at + LENGTH * SECOND)
    plain = FutureSpec(run.start.at, 1, digest=True)
    turned, other = (
        msgspec.structs.replace(plain, turned=[jump_of(found, text)])
        for text in ("DECIDES", "if draw(0.02)")
    )
    jobs = [plain, turned, other, plain, turned, plain]
    first, second, third, *again = [futures.run(job) for job in jobs]
    assert again == [first, second, first]
    assert [each.draw.verdict for each in (first, second, third)] == ["failed", "passed", "failed"]
    assert len({first.digest, second.digest, third.digest}) == 3


def test_a_program_that_goes_round_in_circles_is_left(run: bp.Recording, found: Decisions) -> None:
    futures = Futures(run, FAILS, lambda at: at + LENGTH * SECOND)
    job = FutureSpec(run.start.at, 1, turned=[jump_of(found, "DECIDES")])
    (whole,) = (outcome := futures.run(job)).code
    assert outcome.draw.verdict == "passed" and whole.executed > 1000
    most = whole.executed // 2, LENGTH * SECOND
    ended = futures.run(msgspec.structs.replace(job, most=most))
    assert ended.draw.verdict == "censored" and ended.draw.end < outcome.draw.end
    assert whole.executed // 2 < ended.code[0].executed < whole.executed
