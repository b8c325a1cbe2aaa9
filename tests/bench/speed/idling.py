"""The cost of time in which nothing happens: three etcd nodes without clients."""

from __future__ import annotations

from pathlib import Path

import branchpoint as bp
from branchpoint import progress
from cost import Cost, cost
from figures import Figure, amount, at_most, median
from scale import Scale
from subjects import ETCD, recorded

_LENGTH = 10  # virtual seconds
_BAR = 1.5  # seconds


def idling(scale: Scale, work: Path) -> list[Figure]:
    """The load client is stopped first; elections, heartbeats and health checks go on."""
    path = recorded(ETCD, scale.recording, work)
    spent: list[Cost] = []
    with bp.open(path) as run, progress.task("idling etcd", scale.idles, "times") as task:
        branch = run.at(scale.recording / 4).branch()
        branch.control("stop", "client")
        assert branch.wait_until("exit:client.1", cap=30), "the client was not stopped"
        branch.wait(_LENGTH)
        for number in range(scale.idles):
            with cost() as one:
                branch.wait(_LENGTH)
            spent.append(one)
            task.update(number + 1)
        nodes = [c for c in branch.containers() if c.name.startswith("node")]
        assert [c.state for c in nodes] == ["running"] * 3, nodes
    emulator = amount(median([one.emulator for one in spent]), "s")
    note = f"median of {len(spent)}; CPU time of the emulator {emulator}"
    name = f"{_LENGTH} virtual s of three idle etcd nodes"
    return [at_most(name, median([one.wall for one in spent]), _BAR, "s", note)]
