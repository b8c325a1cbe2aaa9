"""What the supervisor of containers does when things go wrong around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import branchpoint as bp
from branchpoint import bash

COMPOSE = """
name: supervising
x-branchpoint: {ram: 512m}
x-branchpoint-debian: {packages: [busybox-static]}
services:
  usual:
    command: [busybox, sh, -c, "trap 'exit 5' TERM; while :; do busybox sleep 1; done"]
    init: true
  done: {command: [busybox, "true"]}
  full:
    command: [busybox, sh, -c, "busybox sleep 1.5; for i in 1 2 3; do busybox sleep 2 & done; wait;
      exec busybox sleep infinity"]
    pids_limit: 4
    healthcheck: {test: [CMD, busybox, "true"], interval: 0.5s, retries: 2}
  slow:
    command: [busybox, sleep, infinity]
    healthcheck:
      {test: [CMD, busybox, sleep, "60"], interval: 1s, timeout: 2s, retries: 1,
       start_period: 2s, start_interval: 1s}
  hooked:
    command: [busybox, sleep, infinity]
    post_start: [{command: [busybox, sh, -c, "busybox sleep infinity & echo left one behind"]}]
  after: {command: [busybox, sleep, infinity], depends_on: [hooked]}
"""


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("supervising")
    (folder / "compose.yaml").write_text(COMPOSE)
    with bp.record(folder, folder / "it.branchpoint", seed=1, duration=9) as run:
        yield run


def health(run: bp.Recording, container: str) -> list[tuple[str, str, float]]:
    """The status of a container, why, and how long after its start, each time it changed."""
    start = run.events.where(type="container.start", container=container).first
    assert start is not None
    changes = run.events.where(type="container.health", container=container)
    return [(each.fields["status"], each.text, each.vtime - start.vtime) for each in changes]


def test_a_hook_may_leave_something_behind(recording: bp.Recording) -> None:
    assert recording.events.where(type="log", container="hooked").first is not None
    assert recording.events.where(type="container.start", container="after").first is not None
    running = bash("busybox ps | grep -c '[s]leep infinity'").run(recording.end.branch(), "hooked")
    assert running.stdout.strip() == "2"


def test_a_probe_that_cannot_be_started_is_a_failure(recording: bp.Recording) -> None:
    first, second, third, *_ = health(recording, "full")
    assert (first[0], second[0], third[0]) == ("starting", "healthy", "unhealthy")
    assert "cannot be started: " in third[1]
    assert health(recording, "full")[-1][0] == "healthy", "it is asked again and again"


def test_a_probe_of_the_start_period_does_not_count_when_it_ends_later(
    recording: bp.Recording,
) -> None:
    (starting, _, _), (status, _, after) = health(recording, "slow")
    assert (starting, status) == ("starting", "unhealthy")
    assert after > 5, "the first probe, from 1 to 3 s, does not count; the second one, 4 to 6 s"


def test_a_command_that_cannot_be_started_harms_nobody(recording: bp.Recording) -> None:
    branch = recording.end.branch()
    bash("echo 1 > /proc/sys/kernel/threads-max || echo 20 > /proc/sys/kernel/threads-max").run(
        branch
    )
    with pytest.raises(bp.ContainerError, match=r"cannot be started in done\.1: Resource temp"):
        bash("true").run(branch, "done")
    branch.wait(0.5)
    states = {each.name: each.state for each in branch.containers()}
    assert states["slow.1"] == states["hooked.1"] == "running"


def test_its_end_is_told_whatever_its_children_go_on_to_write(recording: bp.Recording) -> None:
    branch = recording.end.branch()
    chatty = "busybox yes much of this & busybox yes & exit 3"
    assert bash(chatty).run(branch, "usual", timeout=5).exit_code == 3
    branch.check()


def test_a_frozen_container_can_be_stopped_in_order(recording: bp.Recording) -> None:
    branch = recording.end.branch()
    branch.faults.freeze("usual", for_=60)
    branch.wait(0.1)
    branch.faults.stop("usual", for_=60)
    branch.wait(12)
    stopped = branch.containers()["usual.1"]
    assert (stopped.state, stopped.exit_code) == ("exited", 5)


def test_a_request_for_time_without_faults_may_come_in_parts(recording: bp.Recording) -> None:
    branch = recording.end.branch()
    file = "$ANTITHESIS_OUTPUT_DIR/hold"
    script = f"printf 3 > {file}; sleep 0.1; printf '0\\n2' >> {file}; sleep 0.1; echo >> {file}"
    assert bash(script).run(branch, "usual").exit_code == 0
    branch.wait(0.1)
    holds = branch.events.where(type="container.hold")
    assert [hold.text for hold in holds] == [
        "asks for 30 s without faults", "asks for 2 s without faults"
    ]  # fmt: skip
    assert not branch.events.where(type="error")
