"""Two releases of one server: a rolling upgrade, a mix of both, and a roll back that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import bash

SYSTEM = Path(__file__).parents[3] / "notebooks" / "systems" / "upgrade"

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("mixed") / "upgrade.branchpoint"
    with bp.record(SYSTEM, path, seed=1, duration=1) as run:
        yield run


def redis(branch: bp.Branch, container: str, command: str) -> str:
    done = bash(f"redis-cli {command}").run(branch, container)
    assert done.exit_code == 0, done.stdout + done.stderr
    return done.stdout.strip()


def release(branch: bp.Branch, container: str) -> int:
    said = redis(branch, container, "info server | grep redis_version")
    return int(said.partition(":")[2].partition(".")[0])


def written(branch: bp.Branch, key: str) -> None:
    """A key that is on the disk of the primary, and known to its replica."""
    redis(branch, "primary", f"set {key} of-{key}")
    assert redis(branch, "primary", "wait 1 60000") == "1"
    redis(branch, "primary", "save")
    assert redis(branch, "replica", f"get {key}") == f"of-{key}"


def test_a_rolling_upgrade_keeps_what_was_written(run: bp.Recording) -> None:
    branch = run.end.branch()
    written(branch, "before")
    before = release(branch, "primary")
    branch.faults.upgrade("replica", "newer")
    branch.wait(2)
    assert release(branch, "replica") > release(branch, "primary") == before
    written(branch, "mixed")
    branch.faults.upgrade("primary", "newer")
    branch.wait(3)
    assert release(branch, "primary") > before
    assert redis(branch, "primary", "mget before mixed").split() == ["of-before", "of-mixed"]
    written(branch, "after")
    branch.check()


def test_the_primary_first_leaves_the_replica_behind(run: bp.Recording) -> None:
    """The older release cannot read what the newer one sends to its replicas."""
    branch = run.end.branch()
    branch.faults.upgrade("primary", "newer")
    refused = "Can't handle RDB format version"
    assert branch.wait_until(f"log:replica.1:{refused}", cap=20) is not None


def test_a_roll_back_meets_what_the_newer_release_wrote(run: bp.Recording) -> None:
    """The older release cannot read the newer one's file either, and never starts again."""
    branch = run.end.branch()
    branch.faults.stop("replica")
    branch.faults.upgrade("primary", "newer")
    branch.wait(2)
    redis(branch, "primary", "set new value")
    redis(branch, "primary", "save")
    branch.faults.upgrade("primary", "primary")
    assert branch.wait_until(bp.failure(exit="primary.1", code=1), cap=20) is not None
    said = branch.events.where(container="primary.1", type="log")
    assert any("Can't handle RDB format version" in event.text for event in said)
