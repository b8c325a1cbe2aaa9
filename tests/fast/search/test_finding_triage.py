"""The triage of a finding on disk, and in what is told of an exploration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from explorations import add, begun
from recordings import ORIGIN, SECOND, event, head

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.search.exploration import Exploration
from branchpoint.search.triage import Triage, _fewest
from branchpoint.sharing.report import exploring
from branchpoint.timeline.directory import RecordingFiles
from branchpoint.timeline.failures import failure

TOLD = Triage(
    likely=["P(failure) 0.02 → 0.99 at 20.57 s <b>"],
    decided=["without kill db.1 it does not happen"],
    words="It exited. <i>",
    code=["ring.py:41 RingBuffer.has: in 6 of 6 failing, 0 of 60 passing futures"],
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An exploration with one finding."""
    path = tmp_path / "x.bpx"
    with begun(path) as found:
        add(found, failed="exit db.1 1")
    (path / "findings").mkdir()
    return path


def test_it_is_kept_and_told_everywhere(path: Path) -> None:
    with Exploration(path) as found:
        assert found.triage(1) is None and "<h3>" not in exploring.report(found)
        found.keep_triage(1, TOLD)
    with Exploration(path) as found:
        assert found.triage(1) == TOLD
        page, suite = exploring.report(found), ElementTree.fromstring(exploring.junit(found))
    assert "<p>It exited. &lt;i&gt;</p><pre>P(failure) 0.02 → 0.99 at 20.57 s &lt;b&gt;\n" in page
    assert "\nwithout kill db.1" in page
    failure = suite.find("testcase/failure")
    assert failure is not None and "without kill db.1" in (failure.text or "")
    result = CliRunner().invoke(main, ["report", str(path)])
    assert (
        "Finding 1, unexpected exit:\n  It exited. <i>\n  P(failure) 0.02 → 0.99" in result.output
    )
    assert "ring.py:41 RingBuffer.has" in page and "ring.py:41 RingBuffer.has" in result.output


def test_one_of_an_earlier_version_is_read(path: Path) -> None:
    (path / "findings" / "1.json").write_text('{"likely": ["since then"], "decided": []}')
    with Exploration(path) as found:
        told = found.triage(1)
    assert told is not None and told.lines == ["since then"]


@pytest.mark.parametrize("content", [b"", b"[]", b'{"likely": [5], "decided": []}', b"{" * 2000])
def test_a_damaged_one_is_named(path: Path, content: bytes) -> None:
    (path / "findings" / "1.json").write_bytes(content)
    with Exploration(path) as found:
        with pytest.raises(bp.RecordingError, match=r"1\.json is damaged"):
            found.triage(1)
        with pytest.raises(bp.BranchpointError, match="no finding 2"):
            found.triage(2)


def test_only_faults_that_were_tried_count_as_needed(tmp_path: Path) -> None:
    """The smaller recording may fail later, and have more faults until then."""

    def minimise(wanted: object, path: Path) -> Any:
        events = [
            event(second, type="fault.start", source="agent", container="", fields={"id": number})
            for second, number in ((1, "2"), (7, "5"))
        ]
        ended = head(failure=ORIGIN + 8 * SECOND)
        with RecordingFiles.create(path, ended) as files:
            files.events.add(events)
            files.save(ended)
        return SimpleNamespace(close=lambda: None)

    run: Any = SimpleNamespace(minimise=minimise)
    finding, wanted = tmp_path / "1.branchpoint", failure("exit:db.1")
    found = _fewest(run, finding, wanted, {"1", "2"})
    assert found == "1 of its 2 faults are enough: 1-minimal.branchpoint"
    assert (tmp_path / "1-minimal.branchpoint").exists()
    assert _fewest(run, finding, wanted, {"2", "5"}) == "all of its 2 faults are needed"
    assert not (tmp_path / "1-minimal.branchpoint").exists()
