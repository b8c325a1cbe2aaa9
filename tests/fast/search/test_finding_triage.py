"""The triage of a finding on disk, and in what is told of an exploration."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner
from recordings import ORIGIN, SECOND, make

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.search.exploration import BASE, HEAD, Exploration, Head
from branchpoint.search.tree import ROOT
from branchpoint.search.triage import Triage
from branchpoint.sharing.report import exploring

END = ORIGIN + 10 * SECOND  # of the recording of set-up
TOLD = Triage(["P(failure) 0.02 → 0.99 at 20.57 s <b>"], ["without kill db.1 it does not happen"])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An exploration with one finding."""
    path = tmp_path / "x.bpx"
    (path / "findings").mkdir(parents=True)
    make(path / BASE)
    failures = [("unexpected exit", "ab")]
    head = Head(title="shop", seed=1, length=SECOND, depth=SECOND, failures=failures)
    (path / HEAD).write_bytes(msgspec.json.encode(head))
    with Exploration(path) as found:
        node = found.tree.node(ROOT, 1, END, END + SECOND, [])
        failed = {"failure": "unexpected exit", "failed_at": END + 5, "kind": "exit db.1 1"}
        found.add(msgspec.structs.replace(node, **failed))
    return path


def test_it_is_kept_and_told_everywhere(path: Path) -> None:
    with Exploration(path) as found:
        assert found.triage(1) is None and "<h3>" not in exploring.report(found)
        found.keep_triage(1, TOLD)
    with Exploration(path) as found:
        assert found.triage(1) == TOLD
        page, suite = exploring.report(found), ElementTree.fromstring(exploring.junit(found))
    assert "<pre>P(failure) 0.02 → 0.99 at 20.57 s &lt;b&gt;\nwithout kill db.1" in page
    failure = suite.find("testcase/failure")
    assert failure is not None and "without kill db.1" in (failure.text or "")
    result = CliRunner().invoke(main, ["report", str(path)])
    assert "Finding 1, unexpected exit:\n  P(failure) 0.02 → 0.99" in result.output


@pytest.mark.parametrize("content", [b"", b"[]", b'{"likely": [5], "decided": []}', b"{" * 2000])
def test_a_damaged_one_is_named(path: Path, content: bytes) -> None:
    (path / "findings" / "1.json").write_bytes(content)
    with Exploration(path) as found:
        with pytest.raises(bp.RecordingError, match=r"1\.json is damaged"):
            found.triage(1)
        with pytest.raises(bp.BranchpointError, match="no finding 2"):
            found.triage(2)
