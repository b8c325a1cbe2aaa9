"""When the last fault has ended, nothing of it is left: for one fault, for many, in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty import begins, left

import branchpoint as bp
from branchpoint import bash
from branchpoint.faults.kinds import KINDS

pytestmark = pytest.mark.long

SEEN = ("loss", "clog", "throttle", "clock", "disk_full", "slow_disk", "cpu")
"""Some faults that this check finds while they last: so it is able to find what is left."""
WHOM = ("a.1", "b.1", "b.2", "c.1")
ACTS: dict[str, Callable[[Any, str, Any], Any]] = {
    "partition": lambda f, c, t: f.partition(c, for_=t),
    "latency": lambda f, c, t: f.latency(c, 0.1, jitter=0.05, for_=t),
    "loss": lambda f, c, t: f.loss(c, 0.5, for_=t),
    "duplicate": lambda f, c, t: f.duplicate(c, 0.5, for_=t),
    "reorder": lambda f, c, t: f.reorder(c, 0.5, 0.02, for_=t),
    "clog": lambda f, c, t: f.clog(c, for_=t),
    "dns_slow": lambda f, c, t: f.dns_slow(c, 0.2, for_=t),
    "dns_fail": lambda f, c, t: f.dns_fail(c, for_=t),
    "dns_silent": lambda f, c, t: f.dns_silent(c, for_=t),
    "dns_stale": lambda f, c, t: f.dns_stale(c, for_=t),
    "kill": lambda f, c, t: f.kill(c, for_=t),
    "stop": lambda f, c, t: f.stop("c", for_=t),
    "restart": lambda f, c, t: f.restart("c"),
    "upgrade": lambda f, c, t: f.upgrade("c", "c-2", for_=t),
    "freeze": lambda f, c, t: f.freeze(c, for_=t),
    "throttle": lambda f, c, t: f.throttle(c, 0.3, for_=t),
    "clock": lambda f, c, t: f.clock(-7.123456789, for_=t),
    "disk_full": lambda f, c, t: f.disk_full(c, for_=t),
    "slow_disk": lambda f, c, t: f.slow_disk(c, 0.01, for_=t),
    "cpu": lambda f, c, t: f.cpu(0.5, for_=t),
    "memory": lambda f, c, t: f.memory(c, 0.9, for_=t),
}


@pytest.fixture(scope="module")
def run(faulty_path: Path) -> Iterator[bp.Recording]:
    with bp.open(faulty_path) as run:
        yield run


@pytest.fixture(scope="module")
def before(run: bp.Recording) -> list[str]:
    found = left(run.at(1).branch())
    assert len(found) > 200
    return found


def traffic(branch: bp.Branch) -> None:
    """Load that the faults can affect."""
    for source, host in (("b.1", "a"), ("a.1", "c"), ("c.1", "b.2")):
        bash(f"timeout 3 ping -q -i 0.01 {host}").run_in_background(branch, source)


def test_every_kind_is_here() -> None:
    assert list(ACTS) == list(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_alone(run: bp.Recording, before: list[str], kind: str) -> None:
    branch = run.at(1).branch()
    ACTS[kind](branch.faults, "a.1", 0.6)
    branch.wait(0.1)
    if kind in SEEN:
        assert left(branch) != before
    branch.wait(1)
    assert begins(branch) == [kind]
    assert branch.events.where(type="error").map(str) == []
    assert left(branch) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_together(run: bp.Recording, before: list[str], seed: int) -> None:
    """Faults of all kinds overlap at random; half end by themselves, then all are healed."""
    chance = random.Random(seed)
    branch = run.at(1).branch()
    traffic(branch)
    for _ in range(12):
        kind = chance.choice(list(KINDS))
        ACTS[kind](branch.faults, chance.choice(WHOM), chance.choice([0.1, 0.3, 1, 60]))
        branch.wait(chance.choice([0, 0, 0.02, 0.2]))
    branch.wait(0.5)
    branch.faults.heal()
    settle(branch)
    assert len(begins(branch)) == 12
    assert left(branch) == before


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_drawn(run: bp.Recording, before: list[str], seed: int) -> None:
    """The same for faults that the guest draws: of all kinds at once, many per second."""
    branch = run.at(1).branch(seed)
    traffic(branch)
    often = {"every": 0.5, "for": (0.05, 1)}
    branch.faults.settings = {
        name: {"every": 1} if kind.lasts == "never" else often for name, kind in KINDS.items()
    } | {"exclude": "apart"}
    branch.wait(3)
    branch.faults.pause()
    settle(branch)
    assert len(set(begins(branch))) > 8
    assert left(branch) == before


def settle(branch: bp.Branch) -> None:
    """Wait until faults and traffic have ended, and killed containers run again."""
    branch.wait(4)
    assert branch.faults.active == []
    for name in WHOM:
        if branch.containers()[name].state != "running":
            branch.control("start", name)
    branch.wait(0.5)


def test_no_limit_begins_while_a_container_starts(run: bp.Recording) -> None:
    """The runtime makes the control group first and writes the container's own limits later."""
    branch = run.at(1).branch()
    branch.control("stop", "a.1")
    branch.wait(11)  # it does not heed SIGTERM
    group = "/sys/fs/cgroup/branchpoint/a.1"
    halfway = f"mkdir {group} && rm /run/branchpoint/crun/a.1.pid"
    assert bash(halfway).run(branch).exit_code == 0
    branch.faults.throttle("a.1", 0.3, for_=1)
    branch.wait(0.2)
    assert [e.text for e in branch.events.where(type="error")] == ["a.1 is not running"]
    bash(f"rmdir {group}").run(branch)
    branch.control("start", "a.1")
    branch.wait(1.5)
    assert bash(f"cat {group}/cpu.max").run(branch).output == "50000 100000\n"
