"""Branches keep the state of the processor: seventeen programs check it, restored in the middle."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint.machine.computer import Cures
from branchpoint.soak import soak, subject_between, windows
from branchpoint.torture.branches import branch_often
from branchpoint.torture.coverage import coverage
from branchpoint.torture.systems import PROBES, project

pytestmark = pytest.mark.long

PROBED = 17


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    """Each probe has had two turns at the end."""
    folder = tmp_path_factory.mktemp("probes")
    with bp.record(project(folder / "project", PROBES), folder / "run", seed=1, duration=2) as run:
        yield run


def test_every_probe_finds_what_it_left(probes: bp.Recording) -> None:
    found = coverage(probes)
    assert len(found.lines) == PROBED
    assert found.lost == ()


def test_branches_show_what_the_recording_shows(probes: bp.Recording) -> None:
    report = branch_often(probes, 4)
    assert [(p.alone, p.acted) for p in report.probes.values()] == [(2, 2)] * PROBED
    assert report.identical, str(report)


@pytest.mark.parametrize(
    ("cures", "probe"),
    [(Cures(flags=False), "exceptions.1"), (Cures(young=False), "young.1")],
    ids=["flags", "accessed bits"],
)
def test_branches_without_a_cure_show_something_else(
    probes: bp.Recording, cures: Cures, probe: str
) -> None:
    """Another probe may come to its turn at another time then, but keeps what it had."""
    report = branch_often(probes, 12, only=(probe, "rounding.1"), cures=cures)
    assert report.probes[probe].parted > 0
    assert "lost" not in report.probes["rounding.1"].example


def test_a_soak_starts_from_every_stored_checkpoint(probes: bp.Recording) -> None:
    (begin, end), *_ = windows(probes, 2)
    subject = subject_between(probes, begin, end)
    stored = {at for at in probes.files.checkpoints if begin <= at < end}
    report = soak(subject, len(stored), busy=0)
    assert report.divergences == []
    assert report.restored >= stored
