"""The systems with known answers do what their analytic description says."""

from __future__ import annotations

import pytest
import truths
from truths import Known

import branchpoint as bp

BEFORE = 0.001  # seconds before an instant at which something is drawn


@pytest.fixture(scope="module", params=truths.ALL, ids=lambda known: known.name)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A known system and its recording that failed."""
    known: Known = request.param
    path = tmp_path_factory.mktemp("recordings") / f"{known.name}.branchpoint"
    known.record(path)
    with bp.open(path) as run:
        yield known, run


def test_the_recording_failed_once_and_late(recorded: tuple[Known, bp.Recording]) -> None:
    known, run = recorded
    (exit_,) = run.events.where(type="container.exit")
    assert exit_.fields["code"] == "1"
    assert known.steps[-1][0] < exit_.vtime < known.horizon


def test_it_speaks_when_something_was_drawn(recorded: tuple[Known, bp.Recording]) -> None:
    known, run = recorded
    lines = run.events.where(container=known.container, type="log")
    drawn = [vtime for vtime, _ in known.steps[1:]]
    if known is truths.BAKED:
        assert len(lines) == 1
        assert lines[0].vtime > known.cause + 29
    else:
        said = [event.vtime for event in lines][: len(drawn)]
        assert said == pytest.approx(drawn, abs=2 * truths.DRAWN_WITHIN)


def test_it_sleeps(recorded: tuple[Known, bp.Recording]) -> None:
    """Many futures of it are affordable only when it does nothing in between."""
    known, run = recorded
    script = "cat /proc/1/schedstat"
    branch = run.at(0.5).branch()
    (begin, _, woken) = map(int, bp.bash(script).run(branch, known.container).output.split())
    branch.wait(4)
    (end, _, woken_later) = map(int, bp.bash(script).run(branch, known.container).output.split())
    assert (end - begin, woken_later - woken) == (0, 0)
