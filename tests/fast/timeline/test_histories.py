"""What a branch gets of the future, and how ids tell branches apart; no machine runs."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from likelihoods import END, _no_machine
from recordings import ORIGIN, SECOND, head

import branchpoint as bp
from branchpoint.events.event import Event
from branchpoint.futures.recording import Recording
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.directory import Future, RecordingFiles
from branchpoint.timeline.seeds import SEED, seeding


def at(second: float) -> int:
    return ORIGIN + round(second * SECOND)


def given(kind: str, second: float, data: bytes = b"x") -> Input:
    return Input(at=at(second), kind=kind, data=data)


def recorded(path: Path, *inputs: Input) -> Recording:
    """A recording of 30 s with these inputs after its set-up."""
    made = head(end=END, inputs=[given("setup", 0), *inputs])
    with RecordingFiles.create(path / "run.branchpoint", made) as files:
        files.save(made)
    return Recording(RecordingFiles.open(path / "run.branchpoint", write=True), _no_machine)


@pytest.fixture
def run(tmp_path: Path) -> Recording:
    """It was seeded at 2 s and 4 s, and had a fault and a command at 3 s."""
    told = [given("fault", 3), given("command", 3)]
    return recorded(tmp_path, *seeding(at(2), 2), *told, *seeding(at(4), 4))


def go_on(branch: Branch, second: float) -> Branch:
    """As if time had passed."""
    branch._history.tip = branch._history.point(at(second))
    return branch


def to_come(moment: bp.Moment) -> list[tuple[str, float]]:
    """Kind and second of what a branch from there gets."""
    later = moment.inputs[moment._point.count :]
    return [(i.kind, (i.at - ORIGIN) / SECOND) for i in later]


RECORDED = [("seed", 2), ("seed", 2), ("fault", 3), ("command", 3), ("seed", 4), ("seed", 4)]


def test_a_branch_of_a_branch_gets_all_that_was_recorded(run: Recording) -> None:
    branch = go_on(run.at(1).branch(), 1.5)
    assert to_come(branch.end) == to_come(run.at(1.5)) == RECORDED
    assert go_on(branch.end.branch(), 10).id == "main@10.000"


def test_a_seed_leaves_out_the_later_seeds_and_nothing_else(run: Recording) -> None:
    branch = run.at(1).branch(7)
    assert to_come(branch.end) == [("fault", 3), ("command", 3)]
    assert to_come(go_on(branch, 2).end) == [("fault", 3), ("command", 3)]
    assert go_on(branch, 10).id == "1.000~7@10.000"


def test_before_a_seed_of_its_own_a_branch_is_as_recorded(run: Recording) -> None:
    branch = go_on(run.at(1).branch(), 3.5).send_input(7)
    go_on(branch, 10)
    assert branch.id == "3.500~7@10.000"
    early = branch.end.rewind_to(1.5)
    assert early.id == "main@1.500" and to_come(early) == RECORDED
    assert to_come(branch.end.rewind_to(3)) == RECORDED[2:]


def test_commands_have_other_numbers_than_recorded_ones_to_come(run: Recording) -> None:
    branch = run.at(1).branch()
    process = branch.run_command("date", "db.1")
    assert process.number == 2
    assert go_on(branch, 10).run_command("date", "db.1").number == 3


def test_a_history_that_lacks_something_recorded_is_not_the_recording(run: Recording) -> None:
    branch = run.at(1).branch()
    history = branch._history
    history.inputs = [i for i in history.inputs if i.kind not in ("fault", SEED)]
    assert go_on(branch, 2).id == "main@2.000"
    first, second = (go_on(branch, s).id.partition("@")[0] for s in (2.5, 10))
    assert len({"main", first, second}) == 3
    stored = run.files.futures[second]
    assert [i.kind for i in stored.inputs] == ["command"]
    assert run.files.futures[first].without == [*seeding(at(2), 2)]


def test_ids_and_stored_branches_of_plain_recordings_are_as_ever(tmp_path: Path) -> None:
    plain = recorded(tmp_path, given("fault", 3))
    branch = plain.at(1).branch()
    branch.run_command("date", "db.1")
    assert go_on(branch, 2).id == "349aeb3c@2.000"
    assert go_on(branch, 10).id == "d7079ab0@10.000"  # with the fault, which came in between
    assert not any(stored.without for stored in plain.files.futures.values())
    line = b'{"id":"b","parent":null,"at":5,"inputs":[],"note":""}'
    assert msgspec.json.decode(line, type=Future) == Future(id="b", parent=None, at=5)


def test_a_moment_of_a_branch_stays_what_it_is(run: Recording, tmp_path: Path) -> None:
    branch = go_on(run.at(1).branch(7), 5)
    assert run.at(branch.end) == branch.end != run.at(5)
    (tmp_path / "other").mkdir()
    other = recorded(tmp_path / "other")
    with pytest.raises(bp.RecordingError, match=r"is a moment of run\.branchpoint"):
        other.at(run.at(1))
    with pytest.raises(bp.TimeError, match="is outside"):
        run.likelihood("exit:*", end=go_on(branch, 31).end)


def test_an_id_with_a_time_before_the_branch_is_of_its_parent(run: Recording) -> None:
    branch = go_on(run.at(3.5).branch(), 4)
    branch.run_command("date", "db.1")
    name = branch.id.partition("@")[0]
    assert run.at(f"{name}@1").id == "main@1.000"
    with pytest.raises(bp.TimeError, match="before that"):
        run.at(f"{name}@-999")


def test_waiting_for_events_looks_at_their_neighbours(
    run: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    come = [
        Event(at=at(second), source="container", container="db.1", text=text)
        for second, text in [(2, "done"), (3, "error"), (3.5, "done"), (4, "done")]
    ]
    monkeypatch.setattr(run.replayer, "play", lambda history, until, stop, step: stop(come))
    done = run.events.where(text="done")
    branch = run.at(1).branch()
    for asked in (done.preceded_by("log:db:error", within=1), done[1:]):
        assert branch.wait_until(asked) == come[2]
    with pytest.raises(bp.BranchpointError, match="what follows an event"):
        branch.wait_until(done.followed_by("log:db:error"))
