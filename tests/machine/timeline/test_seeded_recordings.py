"""Recordings that were seeded on their way, as findings are: their branches go on as recorded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.futures.recording import Recording
from branchpoint.timeline.failures import failure
from branchpoint.timeline.recorder.rerecord import rerecord
from branchpoint.timeline.replaying.history import History
from branchpoint.timeline.seeds import SEED, seeding

SERVER = "server.1"
NEVER = failure(log="this is never said")
SECOND = 1_000_000_000
FIRST, LAST = 2, 4
"""Seconds at which it was seeded."""


@pytest.fixture(scope="module")
def seeded(small: bp.Recording, tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    given = [i for s in (FIRST, LAST) for i in seeding(small.origin + s * SECOND, s)]
    with rerecord(
        small, tmp_path_factory.mktemp("seeded") / "seeded.branchpoint",
        [*small.end.inputs, *given], NEVER,
        horizon=small.manifest.end, after=0, kind=Recording,
    ) as made:  # fmt: skip
        yield made


def digest(moment: bp.Moment) -> str:
    with moment.run.replayer.lock:
        player = moment.run.replayer.bring(moment._history, moment._point)
        return player.computer.digest().hex()


def seeds(moment: bp.Moment) -> list[float]:
    """The seconds at which a branch from there is seeded."""
    found = [(i.at - moment.run.origin) / SECOND for i in moment.inputs if i.kind == SEED]
    return found[::2]  # each comes with its noise


def test_a_branch_from_before_its_seeds_goes_on_as_recorded(seeded: bp.Recording) -> None:
    branch = seeded.at(1).branch().wait(2.5)
    again = branch.end.branch().wait(1.25)
    assert (branch.id, again.id) == ("main@3.500", "main@4.750")
    assert digest(branch.end) == digest(seeded.at(3.5))
    assert digest(again.end) == digest(seeded.at(4.75))
    assert again.events.map(str) == seeded.at(4.75).events.map(str)
    assert seeds(again.end.rewind_to(1.5)) == [FIRST, LAST]


def test_it_is_verified_with_all_that_it_got(seeded: bp.Recording) -> None:
    verified = bp.verify(seeded)
    assert verified and verified.equal == verified.states > FIRST


def test_a_replay_that_does_not_get_its_seeds_is_not_verified(
    seeded: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_come = History._to_come
    monkeypatch.setattr(History, "_to_come", lambda *a: [i for i in to_come(*a) if i.kind != SEED])
    verified = bp.verify(seeded)
    assert not verified and verified.equal < verified.states
    assert "after 2.000 s the replay did not get what was recorded" in verified.problems[0]


def test_a_fresh_seed_takes_the_place_of_the_recorded_ones(seeded: bp.Recording) -> None:
    branch = seeded.at(1).branch(9)
    assert seeds(branch.end) == [1]
    branch.wait(3.5)
    assert branch.id == "1.000~9@4.500"
    assert digest(seeded.at(branch.id)) == digest(branch.end)
    late = seeded.at(1).branch().wait(2)
    late.send_input(9)
    assert seeds(late.end) == [FIRST, 3]
    assert late.wait(1.5).id == "3.000~9@4.500"
    assert seeds(late.end.rewind_to(2.5)) == [FIRST, LAST]  # before it, all is as recorded


def test_ids_of_branches_with_commands_rebuild_them_past_the_seeds(seeded: bp.Recording) -> None:
    plain, anew = seeded.at(1).branch(), seeded.at(1).branch(9)
    for branch in (plain, anew):
        bash("echo mark > /srv/mark").run(branch, SERVER)
        branch.wait(4.5 - branch.vtime)
        assert digest(seeded.at(branch.id)) == digest(branch.end)
    assert seeds(plain.end) == [FIRST, LAST] and seeds(anew.end) == [1]
