"""Branches without a machine: what they get of the future, what their ids say, and what is told of
what was done in them.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from likelihoods import END, _no_machine
from recordings import ORIGIN, SECOND, head

import branchpoint as bp
from branchpoint.events.event import Event
from branchpoint.futures.recording import Recording
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.capture import packets
from branchpoint.timeline.directory import Future, RecordingFiles
from branchpoint.timeline.replaying.history import Point
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


def test_only_a_command_that_could_not_start_could_not_be_run(run: Recording) -> None:
    """A signal to one that has ended is answered by an error, too."""
    branch = run.at(5).branch()
    process = branch.run_command("true", "db.1")
    about = {"about": f"process/{process.number}"}
    ended = {"id": str(process.number), "code": "0", "signal": "0"}
    branch._history.log.extend(
        [
            Event(at=at(5), source="process", type="process.exit", fields=ended),
            Event(at=at(5), source="agent", type="error", text="signal: none", fields=about),
        ]
    )
    assert process.wait().exit_code == 0
    branch._history.log.append(
        Event(at=at(5), source="agent", type="error", text="cannot be started", fields=about)
    )
    with pytest.raises(bp.ContainerError, match="could not be run"):
        process.wait()


def test_a_command_that_its_user_killed_has_no_remark(run: Recording) -> None:
    branch = run.at(5).branch()
    process = branch.run_command("sleep 9", "db.1")
    killed = {"id": str(process.number), "code": "137", "signal": "9"}
    branch._history.log.append(
        Event(at=at(5), source="process", type="process.exit", fields=killed)
    )
    assert "memory ran out" in process.remark
    process.kill(9)
    assert process.remark == ""


def test_an_interrupt_while_output_is_taken_in_leaves_none_of_it_twice(
    run: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    branch = run.at(5).branch()
    history, raw = branch._history, wire.Raw(at=at(5), source="process/1", stream="out", data=b"ab")
    history.take(raw)
    player: Any = SimpleNamespace(
        mailbox=SimpleNamespace(drain=lambda: [raw], skip=lambda: None),
        computer=SimpleNamespace(ended=""), alive=True, place=Point(at(6), 3),
    )  # fmt: skip

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(history.log, "extend", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.replayer._collect(player, history, None)
    assert history.raw[1]["out"] == b"abab" and history.bound is not None
    history.forget_after_tip()
    assert history.raw[1]["out"] == b"ab" and history.bound is None
    run.replayer._collect(player, history, None)
    history.forget_after_tip()
    assert history.raw[1]["out"] == b"abab" and history.tip == player.place


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"type": "file.written"}, ""),
        ({"type": "error", "fields": {"about": "file/db.1:/x"}, "text": "no room"}, "no room"),
    ],
)
def test_other_errors_say_nothing_of_a_file_that_is_written(
    run: Recording, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], said: str
) -> None:
    other = Event(at=at(5), source="agent", type="error", fields={"about": "health/db.1"})
    its = Event(at=at(5), source="agent", **answer)

    def play(history: object, until: int, stop: Any, step: int) -> None:
        assert not stop([other]) and stop([other, its])

    monkeypatch.setattr(run.replayer, "play", play)
    branch = run.at(5).branch()
    if not said:
        branch.inject_file("/x", "y", "db.1")
    else:
        with pytest.raises(bp.ContainerError, match=said):
            branch.inject_file("/x", "y", "db.1")


def test_a_command_that_is_over_at_once_lasts_for_no_time(run: Recording) -> None:
    with pytest.raises(bp.BranchpointError, match="over at once"):
        run.at(5).branch().faults.command("true", for_=2)


@pytest.mark.parametrize("given", [{"duration": -1}, {"after": "-1s"}])
def test_a_recording_takes_no_negative_time(tmp_path: Path, given: dict[str, Any]) -> None:
    (tmp_path / "compose.yaml").write_text("services: {db: {image: 'db:1'}}\n")
    with pytest.raises(bp.TimeError, match="is negative"):
        bp.record(tmp_path / "compose.yaml", **given)


def test_a_capture_is_over_when_its_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last instruction may end after it."""
    process: Any = SimpleNamespace(
        branch=SimpleNamespace(end=SimpleNamespace(at=5)), exit_code=None, running=True
    )

    def play(process: Any, span: int, **_: int) -> None:
        process.branch.end.at += span + 1

    monkeypatch.setattr(packets, "_play", play)
    assert packets._let_pass(process, 7) == []
