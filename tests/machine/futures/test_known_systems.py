"""The systems with known answers behave as their analytic description says."""

from __future__ import annotations

import os

import pytest
from scipy.stats import binomtest, combine_pvalues, nbinom

import branchpoint as bp
from answers import truths
from answers.truths import Known
from branchpoint.futures.running.workers import Pool

BEFORE = 0.015  # seconds before a draw at which a seed still has an effect: see truths.UNKNOWN
MOST_POINTS = 3  # most points per system
SHORT = (truths.INJECTED, truths.NEVER)
"""Systems of `make test`; it takes `make test-all` to see the others."""
FUTURES = int(os.environ.get("BRANCHPOINT_TEST_FUTURES", "12"))  # at each point


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(known, id=known.name, marks=() if known in SHORT else pytest.mark.long)
        for known in truths.ALL
    ],
)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A known system and its recording that failed."""
    known: Known = request.param
    path = tmp_path_factory.mktemp("recordings") / f"{known.name}.branchpoint"
    known.record(path)
    with bp.open(path) as run:
        yield known, run


def test_the_recording_failed_once_and_late_or_not(recorded: tuple[Known, bp.Recording]) -> None:
    known, run = recorded
    exits = run.events.where(type="container.exit", container=known.container)
    assert len(exits) == known.fails
    for exit_ in exits:
        assert exit_.fields["code"] == "1"
        assert known.steps[-1][0] < exit_.vtime < known.horizon


def test_it_speaks_when_something_was_drawn(recorded: tuple[Known, bp.Recording]) -> None:
    known, run = recorded
    lines = run.events.where(container=known.container, type="log")
    drawn = [vtime for vtime, _ in known.steps[1:]]
    if known is truths.INJECTED:
        (kill,) = run.events.where(type="fault.start")
        assert 0 < kill.vtime - drawn[0] < truths.UNKNOWN[1]
    elif known is truths.BAKED:
        assert len(lines) == 1
        assert lines[0].vtime > known.causes[0] + 29
    else:
        said = [event.vtime for event in lines][: len(drawn)]
        calculated = 0.02 if known is truths.RACE else 0  # between the draw and its line
        for line, instant in zip(said, drawn, strict=True):
            assert 0 < line - instant < truths.UNKNOWN[1] + calculated


def test_it_sleeps(recorded: tuple[Known, bp.Recording]) -> None:
    """Many futures of it are affordable only when it is idle in between."""
    known, run = recorded
    if known is truths.HAZARD:
        pytest.skip("it draws all the time")
    script = "cat /proc/1/schedstat"
    branch = run.at(0.5).branch()
    (begin, _, woken) = map(int, bp.bash(script).run(branch, known.container).output.split())
    branch.wait(1.2)
    (end, _, woken_later) = map(int, bp.bash(script).run(branch, known.container).output.split())
    assert (end - begin, woken_later - woken) == (0, 0)


def test_futures_fail_as_often_as_calculated(recorded: tuple[Known, bp.Recording]) -> None:
    """Exactly where nothing is left to chance; elsewhere not further off than by bad luck.

    Where it has failed already, it does not fail again.
    """
    known, run = recorded
    begins = [vtime for vtime, _ in known.steps]
    looked_at = [vtime - BEFORE for vtime in begins[1:]] + [vtime + 0.1 for vtime in begins]
    if known.fails:
        looked_at = [vtime for vtime in looked_at if vtime < run.failure.vtime]
    some = looked_at[:: -(-len(looked_at) // MOST_POINTS)]
    points = {run.at(vtime).at: known.probability(vtime) for vtime in some}
    verdicts: dict[int, list[str]] = {at: [] for at in points}
    with Pool(
        run, bp.failure(known.failure), run.at(known.horizon).at, noise=None, workers=2
    ) as pool:
        for draw in pool.run((at, seed) for at in points for seed in range(FUTURES)):
            verdicts[draw.at].append(draw.verdict)
    chances = [1.0]
    for at, truth in points.items():
        failed, passed = verdicts[at].count("failed"), verdicts[at].count("passed")
        assert failed + passed == FUTURES
        if truth in (0, 1):
            assert failed == FUTURES * truth, (at - run.origin) / 1e9
        chances.append(binomtest(failed, FUTURES, truth).pvalue)
    together = combine_pvalues(chances, method="fisher").pvalue
    assert together > 1e-4, {at: found.count("failed") for at, found in verdicts.items()}


def test_rare_failures_are_asked_for(recorded: tuple[Known, bp.Recording]) -> None:
    known, run = recorded
    if known is not truths.RETRY:
        pytest.skip("one system is enough")
    found = run.how_rare(known.failure, 0.1, precision=0.6, horizon=run.at(known.horizon))
    assert found.failed == 11
    # So many futures until the eleventh fails: not further off than by bad luck, with any guest.
    as_few = nbinom.cdf(found.trials - 11, 11, known.probability(0.1))
    assert 1e-4 < as_few < 1 - 1e-4
    low, high = found.interval
    assert low <= found.failed / found.trials <= high and high / low < 5
    assert "11 of " in repr(found)
