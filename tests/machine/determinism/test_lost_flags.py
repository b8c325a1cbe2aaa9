"""A bug that once existed, put back: states without the exception flags of arithmetic.

Digests do not show it, since they lack the flags, too. Running on from such a state must show it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import FLAGS

import branchpoint as bp
from branchpoint import bash
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.machine.computer import Cures
from branchpoint.sharing.proof.rehearsal import rehearse
from branchpoint.timeline.failures import failure
from branchpoint.timeline.replaying import checking

pytestmark = pytest.mark.long

TELLING = "does not say what it said|a branch that was run again"


@pytest.fixture(scope="module", autouse=True)
def without_the_cure() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cures, "as_of", lambda states: Cures(flags=False))
        patch.setenv(checking.SETTING, "0")
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    """A program reads its flags all the time; no state was restored while it was recorded."""
    path = tmp_path_factory.mktemp("recordings") / "flags.branchpoint"
    with bp.record(FLAGS, path, seed=1, duration=1.5) as run:
        assert not run.events.where(text="was lost")
        yield run


def test_verify_notices(run: bp.Recording) -> None:
    found = bp.verify(run)
    assert found.equal == found.states > 2, "from power-on, all is well"
    assert found.events == len(run.events)
    assert not found
    assert found.restored < found.restorable and found.restored_afresh < found.restorable
    for where in ("a fresh emulator", "an emulator that was elsewhere"):
        assert any(f"entered in {where}" in each for each in found.problems)
    assert all(each.startswith("the checkpoint at") for each in found.problems)


def test_branches_with_commands_notice(run: bp.Recording) -> None:
    """Either its output on the way differs, or a second run from another state does."""
    noticed = []
    for vtime in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3):
        try:
            branch = run.at(vtime).branch()
            assert bash("echo here").run(branch).output == "here\n"
            branch.check()
        except bp.DivergenceError as error:
            noticed.append(error)
    assert noticed, "flags are set at some of these instants"
    assert all(re.search(TELLING, error.message) for error in noticed)
    assert all("from the" in error.message for error in noticed)


def test_a_rehearsal_notices(tmp_path: Path) -> None:
    """Not each one does: its few branches may all begin where no flags are set."""
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        found = rehearse(tmp_path / str(seed), seed=seed)
        if found.same < found.branches:
            break
    assert not found
    assert found.same < found.branches
    assert found.verified.equal == found.verified.states
    assert "differs: " in str(found)


def test_futures_that_are_checked_notice(
    run: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.SETTING, "1")
    futures = Futures(run, failure(log="never said"), lambda at: at + 300_000_000)
    with pytest.raises(bp.DivergenceError, match=TELLING):
        for vtime in (0.35, 0.55, 0.75, 0.95, 1.15):
            futures.run(FutureSpec(run.at(vtime).at, 7))


def test_every_branch_is_checked_when_that_is_asked_for(
    run: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.SETTING, "1")
    with pytest.raises(bp.DivergenceError, match=TELLING):
        for vtime in (0.35, 0.55, 0.75, 0.95, 1.15, 1.35):
            bash("echo here").run(run.at(vtime).branch())
