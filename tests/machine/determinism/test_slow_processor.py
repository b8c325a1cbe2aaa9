"""A processor with fewer instructions in a second, and timers that may fire late: both asked for in
the compose file. Instants that fall into the middle of an instruction are as good as others.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from places import HERE

import branchpoint as bp
from branchpoint import bash, soak
from branchpoint.timeline.replaying import checking

pytestmark = pytest.mark.long

SLOW = HERE / "systems" / "slow" / "compose.yaml"
INSTRUCTION = 4  # ns
SLACK = "read -r slack < /proc/self/timerslack_ns; echo $slack"
WORK = "TIMEFORMAT=%U; { time for ((i = 0; i < 100000; i++)); do :; done; } 2>&1"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "slow.branchpoint"
    bp.record(SLOW, path, seed=1, duration="2s 3ns").close()
    return path


@pytest.fixture(scope="module")
def run(path: Path) -> Iterator[bp.Recording]:
    with bp.open(path) as run:
        yield run


def test_the_same_work_takes_four_times_as_long(run: bp.Recording, small: bp.Recording) -> None:
    def seconds(moment: bp.Moment) -> float:
        return float(bash(WORK).run(moment.branch()).output)

    assert run.manifest.machine.mhz == 250
    assert 3.5 < seconds(run.at(1)) / seconds(small.at(1)) < 4.5


def test_each_container_has_the_slack_that_was_asked_for(run: bp.Recording) -> None:
    for container, slack in ("usual.1", "50000"), ("lazy.1", "500000"):
        assert run.events.where(container=container, text=f"slack {slack}")
        assert bash(SLACK).run(run.at(1).branch(), container).output == f"{slack}\n"


def test_replays_are_the_same(run: bp.Recording) -> None:
    subject = soak.subject_of(run, 1)
    report = soak.soak(subject, 8, seed=1, workers=1)
    assert report.replays == 8 and not report.divergences
    assert bp.verify(run)


def test_instants_in_the_middle_of_an_instruction(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They name a place that can be reached again, also where something was done at it."""
    monkeypatch.setenv(checking.SETTING, "1")
    chance = random.Random(1)
    for rest in range(1, INSTRUCTION):
        with bp.open(path) as run:
            vtime = chance.randrange(300_000_000, 1_700_000_000) // INSTRUCTION * INSTRUCTION + rest
            vtime += -(run.origin + vtime - rest) % INSTRUCTION
            moment = run.at(bp.Time.nanoseconds(vtime))
            branch = moment.branch()
            assert bash("echo here").run(branch, "lazy.1").output == "here\n"
            branch.wait(bp.Time.nanoseconds(100_000_001))
            last, within = branch.id, branch.end.rewind(bp.Time.nanoseconds(70_000_003)).id
            events = list(map(str, branch.events))
        with bp.open(path) as run:
            assert run.at(last).id == last and run.at(within).id == within
            assert list(map(str, run.at(last).events)) == events
