"""Other futures of one moment, drawn by a seed: the same seed gives the same one, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.timeline.branch import Branch

RANDOM = "head -c 16 /dev/urandom | od -An -tx1"
SERVER = "server.1"


def digest(branch: Branch) -> bytes:
    """A digest of the whole machine at the tip of a branch."""
    replayer = branch.run.replayer
    player = replayer.bring(branch._history, branch._history.tip)
    return player.computer.capture().digest(replayer.pool)


def drawn(branch: Branch) -> tuple[str, bytes]:
    """A random number of the branch's kernel, and the digest of the machine one second later."""
    branch.wait(0.05)
    number = bash(RANDOM).run(branch, SERVER).output
    return number, digest(branch.wait(1))


def test_the_same_seed_gives_the_same_future(
    small_path: Path, small: bp.Recording, copy_of: Callable[[Path], Path]
) -> None:
    moment = small.at(1.3)
    first = drawn(moment.branch(seed=7))
    drawn(moment.branch(seed=8))
    assert drawn(moment.branch(seed=7)) == first
    with bp.open(copy_of(small_path)) as other:  # an emulator that does not know the branch
        assert drawn(other.at(1.3).branch(seed=7)) == first


def test_different_seeds_draw_different_random_numbers(small: bp.Recording) -> None:
    moment = small.at(1.3)
    branches = [moment.branch(), *(moment.branch(seed=seed) for seed in range(4))]
    branches += [moment.branch(seed=b"seven"), moment.branch().send_input({b"eight"})]
    numbers = [drawn(branch)[0] for branch in branches]
    assert len(set(numbers)) == len(branches)


def test_no_seed_is_the_recorded_future(small: bp.Recording) -> None:
    branch = small.at(1.3).branch()
    branch.wait(2)
    assert branch.events.map(str) == small.at(3.3).events.map(str)
    assert branch.id == "main@3.300"


def test_seeds_of_all_spellings_are_the_same_input(small: bp.Recording) -> None:
    moment = small.at(2)
    spelled = [moment.branch(b"x"), moment.branch().send_input(b"x")]
    spelled.append(moment.branch().send_input({"input_bytes": b"x"}))
    assert len({branch.id for branch in spelled}) == 1


def test_an_id_with_a_seed_needs_no_ledger(small_path: Path, small: bp.Recording) -> None:
    known = set(small.files.futures)
    branch = small.at(1.234567891).branch(seed=41)
    number = bash(RANDOM).run(branch.wait(0.5), SERVER).output
    other = small.at(1.234567891).branch(seed=41).wait(0.5)
    assert other.id == "1.234567891~41@1.734567891"
    assert set(small.files.futures) == known
    again = small.at(other.id)
    assert again == other.end
    assert bash(RANDOM).run(again.branch(), SERVER).output == number


def test_a_seed_is_part_of_the_id(small: bp.Recording) -> None:
    moment = small.at(2)
    branches = [moment.branch(seed) for seed in (1, 2, -3)]
    branches += [moment.branch(1, noise=None), small.at(1.5).branch().wait(0.5).end.branch(1)]
    ids = [branch.wait(0.1).id for branch in branches]
    assert ids[:3] == ["2.000~1@2.100", "2.000~2@2.100", "2.000~-3@2.100"]
    assert "~" not in ids[3]
    assert ids[4] == ids[0]  # a branch without any action is the recording


@pytest.mark.parametrize("id", ["2.0~x@3.0", "2.0~1@1.0", "2.0~@3.0", "99~1@100"])
def test_ids_that_name_nothing_are_refused(small: bp.Recording, id: str) -> None:
    with pytest.raises(bp.TimeError):
        small.at(id)


@pytest.mark.parametrize("seed", [1.5, True, "7", b"", bytes(513)])
def test_what_is_no_seed_is_refused(small: bp.Recording, seed: object) -> None:
    with pytest.raises(bp.BranchpointError, match="seed"):
        small.at(2).branch(seed)  # type: ignore[arg-type]
