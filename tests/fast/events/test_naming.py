"""Unknown names: the error has the name that was probably meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from recordings import event, head

import branchpoint as bp
from branchpoint.errors import BranchpointError, ContainerError
from branchpoint.events import naming
from branchpoint.events.queries import Where
from branchpoint.timeline.directory import RecordingFiles

SYSTEM = head().containers


@pytest.mark.parametrize(
    "question",
    [
        Where(),
        Where(container=""),
        Where(container=["db", "db.*"]),
        ~Where(container="web"),
        Where(container="db") - Where(container="web"),
        bp.failure("exit:*"),
        bp.failure(exit="d?"),
        bp.failure(shell="true"),
        bp.failure(log="x") | bp.failure(shell="true", container="db"),
        None,
    ],
)
def test_names_that_are_there(question: Any) -> None:
    naming.check(question, SYSTEM)


@pytest.mark.parametrize(
    "question",
    [
        Where(container="bd"),
        Where(container=["db", "bd"]),
        Where(container="db.1") | Where(container="bd"),
        Where(container="bd.*"),
        bp.failure("exit:bd"),
        bp.failure(eventually="log:bd:ready"),
        bp.failure("exit:*") & bp.failure(shell="true", container="bd"),
    ],
)
def test_names_that_are_not(question: Any) -> None:
    with pytest.raises(ContainerError, match=r"no container 'bd"):
        naming.check(question, SYSTEM)


@pytest.fixture
def run(tmp_path: Path) -> Any:
    with RecordingFiles.create(tmp_path / "r.branchpoint", head()) as files:
        files.events.add([event(1), event(2, "", source="life", type="container.exit")])
        files.save(head())
    with bp.open(tmp_path / "r.branchpoint") as opened:
        yield opened


def test_moments_of_what_does_not_exist(run: bp.Recording) -> None:
    assert len(run.moments("exit", container="db")) == 1
    assert [moment.vtime for moment in run.moments("log")] == [1.0]
    assert run.moments("restart") == run.moments("process.exit") == run.moments("fault*") == []
    with pytest.raises(BranchpointError, match='did you mean "exit"'):
        run.moments("exti")
    with pytest.raises(ContainerError, match=r"did you mean \"db.1\""):
        run.moments("exit", container="dbb.1")


def test_futures_of_a_failure_of_nobody_are_not_run(run: bp.Recording) -> None:
    with pytest.raises(ContainerError, match="no container 'standby'"):
        run.likelihood(bp.failure(exit="standby"))


def test_an_event_shows_itself_in_one_line(run: bp.Recording) -> None:
    assert repr(run.events.last) == "<Event 2.000  db.1  container.exit  >"
