"""Test templates: which commands run when, and how a test ends."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import COMPOSED

import branchpoint as bp
from branchpoint import failure
from branchpoint.events.event import Event
from branchpoint.timeline.failures import Happening

BEFORE = 0.1  # virtual seconds: set-up is complete, and no template is drawn yet
LONG = 8  # virtual seconds of a timeline
SEEDS = range(100)
TICK = 0.02  # virtual seconds in which the guest's agent has read what it is asked for


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("composed") / "composed.branchpoint"
    with bp.record(COMPOSED, path, seed=1, duration=0.5) as made:
        yield made


def with_template(run: bp.Recording, wanted: str) -> Iterator[tuple[int, bp.Branch]]:
    """Timelines that use this template, one after another, and their seeds."""
    for seed in SEEDS:
        branch = run.at(BEFORE).branch(seed).wait(LONG)
        if wanted in templates(branch):
            yield seed, branch
    pytest.fail(f"the template {wanted} was drawn too seldom with {len(SEEDS)} seeds")


@pytest.fixture(scope="module")
def main(run: bp.Recording) -> bp.Branch:
    return next(with_template(run, "main"))[1]


def seen(branch: bp.Branch, since: float = 0) -> list[Event]:
    return list(branch.events.where(source="test", start=since))


def templates(branch: bp.Branch) -> set[str]:
    return {event.fields["template"] for event in seen(branch) if event.type == "test.start"}


def of(events: list[Event], type: str) -> list[dict[str, str]]:
    """The fields of the events of a type."""
    return [event.fields for event in events if event.type == type]


def spans(branch: bp.Branch) -> list[tuple[float, float, str]]:
    """When each command ran that has ended: commands of one name end in any order."""
    found: list[tuple[float, float, str]] = []
    open_: dict[str, list[float]] = {}
    for event in seen(branch):
        command = event.fields.get("command", "")
        if event.type == "test.start":
            open_.setdefault(command, []).append(event.vtime)
        elif event.type == "test.exit":
            found.append((open_[command].pop(0), event.vtime, command))
    last = branch.end.vtime
    left = [(start, last, command) for command, starts in open_.items() for start in starts]
    return sorted([*found, *left])


def test_a_timeline_uses_one_template_and_all_are_drawn(run: bp.Recording) -> None:
    for template in ("main", "alone"):
        _, branch = next(with_template(run, template))
        assert templates(branch) == {template}


def test_one_first_command_comes_before_all_others(main: bp.Branch) -> None:
    first, *others = spans(main)
    assert first[2] == "first_make"
    assert all(first[1] <= start for start, _, _ in others)
    assert "first_make" not in {command for _, _, command in others}


def test_serial_drivers_run_alone_and_parallel_ones_together(run: bp.Recording) -> None:
    serial = together = beside = 0
    for _, branch in with_template(run, "main"):
        ran = spans(branch)
        for begin, end, command in ran:
            # Itself among them:
            others = [other for start, last, other in ran if start < end and last > begin]
            drivers = [other for other in others if "_driver_" in other]
            if command == "serial_driver_look":
                assert drivers == [command]
                serial += 1
            elif command == "parallel_driver_add":
                assert set(drivers) == {command}
                together = max(together, len(drivers))
            elif command == "anytime_count":
                assert others.count(command) == 1
                beside += bool(drivers)
        if serial and together > 1 and beside:
            break
    codes = {(e["command"], e["code"]) for e in of(seen(branch), "test.exit")}
    assert ("serial_driver_look", "0") in codes and ("serial_driver_look", "1") not in codes


def test_a_singleton_is_the_only_driver_and_runs_once(run: bp.Recording) -> None:
    _, alone = next(with_template(run, "alone"))
    assert [event.type for event in seen(alone)] == ["test.start", "log", "test.exit"]
    line, ended = seen(alone)[1:]
    assert (line.container, line.text) == ("client.1", "once")
    assert line.fields == {"command": "singleton_driver_once"}
    assert ended.text == "alone/singleton_driver_once: exited with 3, on its own"
    assert float(ended.fields["took"]) == pytest.approx((ended.at - seen(alone)[0].at), abs=2e6)


def test_a_seed_on_the_way_draws_what_is_still_to_come_anew(main: bp.Branch) -> None:
    one, other, again = (main.end.branch(seed).wait(3) for seed in (1, 2, 1))
    since = main.end.vtime
    assert list(map(str, seen(one, since))) != list(map(str, seen(other, since)))
    assert list(map(str, seen(one, since))) == list(map(str, seen(again, since)))
    assert templates(one) == templates(other) == {"main"}


def test_for_eventually_all_others_are_killed(main: bp.Branch) -> None:
    branch = main.end.branch(1).finish_test().wait(5)
    *killed, eventually = of(seen(branch, main.end.vtime), "test.exit")
    assert (eventually["command"], eventually["code"]) == ("eventually_one", "0")
    assert {each["code"] for each in killed if each["asked"] == "1"} <= {"137"}
    begun = of(seen(branch), "test.start")
    assert len(begun) == len(of(seen(branch), "test.exit"))
    assert begun[-1]["command"] == "eventually_one"
    with pytest.raises(bp.BranchpointError, match="ended already"):
        refused(branch.finish_test())


def refused(branch: bp.Branch) -> None:
    """Raise what the guest answers."""
    error = branch.wait_until("event:error", 1)
    if error is not None:
        raise bp.BranchpointError(error.text)


def test_for_finally_all_others_end_by_themselves(main: bp.Branch) -> None:
    branch = main.end.branch(1).finish_test("finally").wait(10)
    last = seen(branch, main.end.vtime + TICK)
    assert [each["command"] for each in of(last, "test.start")] == ["finally_none_empty"]
    ends = of(seen(branch, main.end.vtime), "test.exit")
    assert {(each["code"], each["asked"]) for each in ends} == {("0", "0")}
    assert ends[-1]["command"] == "finally_none_empty"


def test_a_test_that_has_not_begun_cannot_end(run: bp.Recording) -> None:
    with pytest.raises(bp.BranchpointError, match="no driver has begun"):
        refused(run.at(BEFORE).branch(1).finish_test())
    with pytest.raises(bp.BranchpointError, match="a test cannot end 'soon'"):
        run.at(BEFORE).branch(1).finish_test("soon")


def test_a_command_that_dies_with_its_container_has_not_failed(run: bp.Recording) -> None:
    failed = failure(test="*")
    assert isinstance(failed, Happening)
    for seed, _ in with_template(run, "main"):
        branch = run.at(BEFORE).branch(seed).wait(2)
        branch.faults.kill("client")
        branch.wait(1)
        lost = [each for each in of(seen(branch), "test.exit") if each["signal"] == "9"]
        if lost:
            break
    assert {each["asked"] for each in lost} == {"0"}
    assert branch.events.where(failed.query).first is None
    with pytest.raises(bp.BranchpointError, match="was killed, so no finally_ command runs"):
        refused(branch.finish_test("finally"))


def test_while_the_first_command_runs_there_is_no_fault(tmp_path: Path) -> None:
    folder = tmp_path / "system"
    shutil.copytree(COMPOSED.parent, folder)
    slow = folder / "tests/main/first_make"
    slow.write_text(slow.read_text() + "busybox sleep 2\n")
    shutil.rmtree(folder / "tests/alone")
    text = (folder / "compose.yaml").read_text()
    kill = "fault: [{kill: client, between: [500ms, 501ms]}, {kill: client, between: [4s, 5s]}]"
    (folder / "compose.yaml").write_text(text.replace("ram: 512m", f"ram: 512m, {kill}"))
    with bp.record(folder, tmp_path / "f.branchpoint", seed=1, duration=6) as run:
        faults = [event.vtime for event in run.events.where(type="fault.start")]
        assert len(faults) == 1 and 4 <= faults[0] <= 5.1


@pytest.mark.long
def test_a_search_runs_them_and_judges_them(tmp_path: Path) -> None:
    with bp.explore(
        COMPOSED.parent, tmp_path / "c.bpx", stretches=40, length=1, duration=3600, workers=1,
        triaged=False,
    ) as found:  # fmt: skip
        (finding,) = found.findings
        assert (finding.failure, finding.kind) == (
            "failed test command", "test ends client.1 alone/singleton_driver_once 3"
        )  # fmt: skip
        judged = {each.message: each.status for each in found.assertions}
        assert judged["client.1 alone/singleton_driver_once"] == "violated"
        assert judged["client.1 main/parallel_driver_add"] == "holds"
        assert len(judged) == 7
        ended = next(node for node in found.tree.nodes if node.ending)
        told = found.branch(ended.number).events.where(type="test.start")
        assert told.last is not None
        assert told.last.fields["command"].startswith(ended.ending)
        with bp.open(finding.path) as again:
            assert again.failure.vtime == pytest.approx(finding.vtime)
