"""``run.schedule``: who had the processor, held against what the kernel itself adds up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.machine.watching.ran import Covered
from branchpoint.timeline.schedule import fields_of

COMPOSE = """
name: turns
x-branchpoint: {ram: 512m}
x-branchpoint-debian: {packages: [busybox-static]}
services:
  busy: {command: [busybox, sh, -c, "while :; do i=0; while [ $$i -lt 20000 ]; do i=$$((i+1)); done; busybox sleep 0.05; done"]}
  other: {command: [busybox, sh, -c, "while :; do busybox sha256sum /bin/busybox > /dev/null; busybox sleep 0.1; done"]}
  idle: {command: [busybox, sleep, infinity]}
"""  # noqa: E501
USED = "grep usage_usec /sys/fs/cgroup/branchpoint/{}.1/cpu.stat"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("turns")
    (folder / "compose.yaml").write_text(COMPOSE)
    with bp.record(folder, folder / "turns.branchpoint", seed=1, duration=3) as run:
        yield run


def used(run: bp.Recording, at: float, container: str) -> int:
    """The processor time of a container so far (ns), as its control group tells it then."""
    said = bash(USED.format(container)).run(run.at(at).branch(), None).stdout
    return int(said.split()[1]) * 1000


@pytest.mark.long
def test_turns_add_up_to_what_the_kernel_has_counted(run: bp.Recording) -> None:
    told = run.schedule(1, 3)
    assert told.whole
    for container in ("busy", "other"):
        counted = used(run, 3, container) - used(run, 1, container)
        found = sum(each.length for each in told if each.container == f"{container}.1")
        assert found == pytest.approx(counted, rel=0.02, abs=200_000)
    assert not [each for each in told if each.container == "idle.1"]


def test_one_has_it_at_a_time_and_in_order(run: bp.Recording) -> None:
    told = run.schedule(1, 2)
    assert len(told) > 20 and all(each.length > 0 for each in told)
    assert all(a.end <= b.start for a, b in pairwise(told))
    assert told.start.at <= told[0].start and told[-1].end <= told.end.at
    assert 0 < told.busy <= 1
    assert {each.command for each in told if each.container == "busy.1"} == {"busybox"}


@pytest.mark.long
def test_another_stretch_says_the_same_to_some_microseconds(run: bp.Recording) -> None:
    one = [each for each in run.schedule(1, 3) if each.start > run.at(1.6).at]
    other = [each for each in run.schedule(1.5, 3) if each.start > run.at(1.6).at]
    assert [each.thread for each in one] == [each.thread for each in other]
    assert max(abs(a.start - b.start) for a, b in zip(one, other, strict=True)) < 20_000


def test_a_moment_has_its_thread(run: bp.Recording) -> None:
    told = run.schedule(1, 2)
    longest = max(told, key=lambda each: each.length)
    middle = (longest.start + longest.end) / 2e9 - run.at(0).at / 1e9
    assert told.at(middle) == longest
    assert told.at(run.at(0.5)) is None


def test_branches_have_one_too(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    bash("busybox sha256sum /bin/busybox").run(branch, "idle")
    told = run.schedule(branch.start, branch.end)
    assert any(each.container == "idle.1" and each.command == "busybox" for each in told)
    with pytest.raises(bp.BranchpointError, match="different histories"):
        run.schedule(branch.end, run.at(3))
    with pytest.raises(bp.BranchpointError, match="is no stretch"):
        run.schedule(2, 1)


def test_it_is_written_for_perfetto_and_shown(run: bp.Recording, tmp_path: Path) -> None:
    told = run.schedule(1, 1.5)
    written = json.loads(told.trace(tmp_path / "turns.json").read_text())["traceEvents"]
    lanes = [each for each in written if each["ph"] == "X"]
    assert len(lanes) == len(told) and 1e6 <= lanes[0]["ts"] <= 1.5e6  # virtual µs
    assert {each["args"]["name"] for each in written if each["ph"] == "M"} >= {"busy.1"}
    assert len(told.frame()) == len(told)
    assert "busy.1" in repr(told) and "busy.1" in told._repr_html_()


def test_the_timeline_of_a_branch_shows_it(run: bp.Recording) -> None:
    branch = run.at(1).branch()
    bash("busybox sha256sum /bin/busybox").run(branch, "idle")
    view = branch.timeline().zoom(branch.start, branch.end).show_schedule()
    assert view.schedule is not None and len(view.schedule) > 0
    lanes = view.state["lanes"]
    ran = view.picture["ran"]
    columns = len(ran) // len(lanes)
    lane = lanes.index("idle.1")
    assert any(ran[lane * columns : (lane + 1) * columns])
    assert "blue: has the processor" in view._fallback_html()


@pytest.mark.long
def test_what_is_told_changes_no_state(run: bp.Recording) -> None:
    switches = fields_of(run.manifest.machine.guest_image)
    run.replayer.cover(Covered(switches=switches))
    assert bp.verify(run).states > 0
    assert run.at(2).branch().wait(1).check()
    assert run.replayer.ran.turns
