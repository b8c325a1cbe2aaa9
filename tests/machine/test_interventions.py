"""Which faults decide, and how few are enough: on a system in which this is known."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import failure

COMPOSE = """
name: pairs
x-branchpoint:
  fault:
    - {kill: spare, between: [1s, 1500ms]}
    - {kill: left, between: [2s, 2500ms]}
    - {kill: other, between: [3s, 3500ms]}
    - {kill: right, between: [4s, 4500ms]}

x-server: &server
  x-branchpoint-debian: {packages: [busybox-static], files: {/srv/f: {content: "x"}}}
  command: [busybox, httpd, -f, -p, "80", -h, /srv]

services:
  left: *server
  right: *server
  spare: *server
  other: *server
  watcher:
    x-branchpoint-debian: {packages: [busybox-static]}
    command:
      - busybox
      - sh
      - -c
      - >-
        while busybox sleep 0.2; do
        busybox wget -q -O /dev/null http://left/f ||
        busybox wget -q -O /dev/null http://right/f ||
        echo "both are gone";
        done
    depends_on: [left, right]
"""
GONE = failure(log="both are gone")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "compose.yaml").write_text(COMPOSE)
    path = folder / "pairs.branchpoint"
    with bp.record(folder, path, seed=1, duration=20, until=GONE, after=0.5) as run:
        yield run


def names(events: bp.EventSet) -> list[str]:
    return [f"{e.fields['type']} {e.fields['target']}" for e in events.where(type="fault.start")]


def test_the_recording_fails_after_its_faults(pairs: bp.Recording) -> None:
    assert names(pairs.events) == ["kill spare.1", "kill left.1", "kill other.1", "kill right.1"]
    assert pairs.failure.vtime > 4


def test_removing_a_fault_shows_whether_it_decides(pairs: bp.Recording) -> None:
    found = pairs.attribution(GONE, variants=8)
    assert {row.fault.name for row in found.decisive} == {"kill left.1", "kill right.1"}
    for row in found.rows:
        decides = row in found.decisive
        assert (row.failing, row.of) == (8, 8)
        assert (row.failing_without, row.of_without) == (0 if decides else 8, 8)
    assert list(found.frame["effect"]) == [-1, -1, 0, 0]
    assert repr(found).splitlines()[-1].startswith("decisive: kill left.1 at 2.")


def test_the_smallest_set_of_faults_is_a_recording_of_its_own(
    pairs: bp.Recording, tmp_path: Path
) -> None:
    with pairs.minimise(GONE, tmp_path / "small.branchpoint") as small:
        assert names(small.events) == ["kill left.1", "kill right.1"]
        assert small.failure.vtime == pytest.approx(pairs.failure.vtime, abs=1)
        assert small.origin == pairs.origin
        again = small.at(1).branch().wait(small.duration - 1)  # compared with digests on the way
        assert names(again.events) == ["kill left.1", "kill right.1"]
    with bp.open(tmp_path / "small.branchpoint") as opened:
        assert opened.failure.vtime == pytest.approx(pairs.failure.vtime, abs=1)


def test_futures_off_one_moment_are_contrasted(pairs: bp.Recording) -> None:
    """With new seeds the instants of the kills are drawn anew, but all of them come."""
    found = pairs.contrast(2.7, GONE, futures=8, horizon=3)
    again = pairs.contrast(2.7, GONE, futures=8, horizon=3, workers=1)
    assert repr(found) == repr(again)
    assert "8 failing, 0 passing" in found.about


@pytest.mark.parametrize("call", ["attribution", "minimise"])
def test_without_faults_there_is_nothing_to_remove(
    small: bp.Recording, tmp_path: Path, call: str
) -> None:
    given = [tmp_path / "x"] if call == "minimise" else []
    with pytest.raises(bp.BranchpointError, match="no faults"):
        getattr(small, call)("exit:job", *given)


def test_a_failure_that_never_comes_cannot_be_minimised(
    pairs: bp.Recording, tmp_path: Path
) -> None:
    with pytest.raises(bp.BranchpointError, match="does not happen"):
        pairs.minimise(failure(log="never"), tmp_path / "x.branchpoint")
