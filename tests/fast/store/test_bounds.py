"""Valid files with extremely much content: what is made of them stays bounded, and says so."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from recordings import ORIGIN, SECOND, event, head

import branchpoint as bp
from branchpoint.futures import curves
from branchpoint.futures.draws import MOST_POINTS, Draw, Draws, Question
from branchpoint.sharing.report.lanes import GUEST, MOST_COLUMNS, MOST_LANES, Lanes
from branchpoint.store.manifest import ContainerFacts, Input
from branchpoint.timeline.directory import Future, RecordingFiles

QUESTION = Question(failure="exit:*", failure_key="ab", horizon=5, relative=True)


def opened(path: Path, **changes: object) -> Path:
    with RecordingFiles.create(path, head(**changes)) as files:
        files.events.add([event(1, "ready")])
        files.save(files.manifest)
    return path


def test_thousands_of_containers_share_a_lane(tmp_path: Path) -> None:
    path = opened(tmp_path / "run.branchpoint")
    with RecordingFiles.open(path, write=True) as files:
        files.events.add(event(1 + n / 10_000, "x", container=f"c.{n}") for n in range(5000))
        files.save(files.manifest)
    with bp.open(path) as run:
        lanes = Lanes.of(run, run.events.columns)
        assert len(lanes.names) == MOST_LANES + 1
        assert (lanes.names[0], lanes.names[-1]) == ("db.1", GUEST)
        tracemalloc.start()
        lines, _ = lanes.lines(ORIGIN, ORIGIN + 2 * SECOND, MOST_COLUMNS)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < 256 << 20
        assert lines[-MOST_COLUMNS:].count(0) < MOST_COLUMNS  # the others are in the last one
        assert run.timeline().state["lanes"] == lanes.names


def test_a_recording_has_no_more_containers_than_a_computer_could_run(tmp_path: Path) -> None:
    many = [ContainerFacts(name=f"c.{n}", service="c") for n in range(10_001)]
    with pytest.raises(bp.RecordingError, match="length <= 10000"):
        opened(tmp_path / "run.branchpoint", containers=many)
    assert not (tmp_path / "run.branchpoint").exists()


def test_draws_from_thousands_of_instants_are_cut_off(tmp_path: Path) -> None:
    path = opened(tmp_path / "run.branchpoint")
    with RecordingFiles.open(path, write=True) as files:
        draws = Draws(files, QUESTION)
        for n in range(MOST_POINTS + 50):
            draws.add(Draw(at=ORIGIN + n, seed=0, verdict="passed", end=ORIGIN + n))
    with bp.open(path) as run:
        (curve,) = curves.kept(run)
        assert len(curve.points) == MOST_POINTS
        assert any(f"more than {MOST_POINTS} instants" in warning for warning in run.warnings)


def test_a_branch_with_thousands_of_inputs_is_on_the_map(tmp_path: Path) -> None:
    path = opened(tmp_path / "run.branchpoint")
    inputs = [Input(at=ORIGIN + n, kind="command", data=b"%d" % n, note="x") for n in range(20_000)]
    with RecordingFiles.open(path, write=True) as files:
        files.add_future(Future(id="b1", parent=None, at=ORIGIN, inputs=inputs[:10_000]))
        files.add_future(Future(id="b2", parent=None, at=ORIGIN, inputs=inputs))
        other = Input(at=ORIGIN + 20_000, kind="command", data=b"other", note="y")
        given = [*inputs[:10_000], other]
        files.add_future(Future(id="b3", parent=None, at=ORIGIN, inputs=given))
    with bp.open(path) as run:
        nodes = run.map(earlier=True).state["nodes"]
        assert [(node[0], node[4]) for node in nodes] == [
            ("recording", 0), ("noted", 1), ("noted", 2), ("noted", 2),
        ]  # fmt: skip


@pytest.mark.parametrize("instants", [[3, 2], [0], [1, 5, 4]])
def test_no_branch_has_inputs_that_go_back_in_time(instants: list[int]) -> None:
    with pytest.raises(ValueError, match="order of time"):
        Future(
            id="b1", parent=None, at=1,
            inputs=[Input(at=at, kind="command", data=b"") for at in instants],
        )  # fmt: skip


def test_a_report_of_events_from_outside_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "run.branchpoint"
    with RecordingFiles.create(path, head(failure=2**62)) as files:
        files.events.add(
            event(at, type="container.exit", fields={"code": "1"}) for at in (1, 5, 10**9)
        )
        files.save(head(failure=2**62))
    with bp.open(path) as run:
        text = bp.export(run, tmp_path / "x.html").read_text()
        assert "main@1.000" in text and "main@5.000" in text
        assert "main@1000000000.000" not in text
