"""The report of a torture: which programs ran, and how a recording is cut for a soak."""

from __future__ import annotations

from pathlib import Path

from recordings import ORIGIN, SECOND, event, fill, head

import branchpoint as bp
from branchpoint.soak import windows
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.torture.branches import Branches
from branchpoint.torture.coverage import coverage

SAID = (
    "stress-ng: info:  [10] dispatching hogs: 1 io, 1 fp-error, 1 rdrand",
    "stress-ng: info:  [10] skipped: 1: rdrand (1)",
    "stress-ng: info:  [10] passed: 2: fp-error (1) io (1)",
    "stress-ng: info:  [10] failed: 1: x86syscall (1)",
    "stress-ng: info:  [12] passed: 1: vm (1)",
    "stress-ng: info:  [12] failed: 0",
)


def test_coverage_names_what_ran_to_its_end(tmp_path: Path) -> None:
    with RecordingFiles.create(tmp_path / "run", head()) as files:
        files.events.add(event(n, text, container="stress.1") for n, text in enumerate(SAID))
        files.events.add([event(8, "7: kept"), event(9, "8: LOST: an overflow")])
        files.save(head())
    with bp.open(tmp_path / "run") as run:
        found = coverage(run)
    assert found.stressors == ("fp-error", "io", "vm")
    assert found.failed == ("x86syscall",)
    assert found.lost == ("8: LOST: an overflow",)
    assert found.lines == {"stress.1": len(SAID), "db.1": 2}
    assert found.brief == "3 stressors of stress-ng, db.1"


def test_windows_join_at_checkpoints_and_reach_the_last(tmp_path: Path) -> None:
    with RecordingFiles.create(tmp_path / "run", head()) as files:
        fill(files)
        files.save(head())
    with bp.open(tmp_path / "run") as run:
        found = windows(run, 4)
    assert [tuple((at - ORIGIN) // SECOND for at in each) for each in found] == [
        (0, 4),
        (4, 8),
        (8, 9),
    ]


def test_branches_count_what_parted_and_tell_the_first() -> None:
    report = Branches("probes")
    assert not report.identical  # nothing was tried
    report.add("mmx.1", "", acted=False)
    report.add("mmx.1", "", acted=True)
    assert report.identical and str(report).endswith("all histories the same")
    report.add("mmx.1", "this instead of that", acted=True)
    report.add("mmx.1", "another", acted=True)
    assert (report.count, report.parted, report.identical) == (4, 2, False)
    assert "2 with another history: this instead of that" in str(report)
