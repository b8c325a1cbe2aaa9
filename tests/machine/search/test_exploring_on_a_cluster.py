"""An exploration whose stretches run on a cluster of two dask workers."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from distributed import LocalCluster
from processes import alive, wait_for, workers_of
from test_exploring import DIALS, LOCK

import branchpoint as bp
from branchpoint.search import cluster as clusters
from branchpoint.search.exploration import Exploration
from branchpoint.search.stretches import Stretches

pytestmark = [pytest.mark.slow, pytest.mark.long]
ASKED: dict[str, Any] = {"length": 1.2, "seed": 1, "triaged": False, "duration": 3600}


def test_a_cluster_explores_and_each_stretch_can_be_visited_again(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    path, address = tmp_path / "lock.bpx", cluster.scheduler_address
    bp.explore(LOCK, path, stretches=30, workers=1, **ASKED).close()  # they learn of these later
    with bp.explore(LOCK, path, stretches=120, workers=address, **ASKED) as found:
        assert len(found.tree) == 120
        assert {node.worker for node in found.tree.nodes[30:]} == {0, 1}
    with Exploration(path) as found:
        stretches = Stretches(found.tree, found.open_base, (), found.head.signals)
        for number in range(1, len(found.tree) + 1, 12):
            node = found.tree[number]
            ran = stretches.run(node.parent, node.seed, node.end - node.start)
            assert found.tree.code.look(ran.places)[0] == [], "code that nobody has seen"
            assert {found.tree.signs[seen] for seen in node.seen} >= set(ran.seen)
        stretches.close()


@pytest.fixture
def at_the_tenth(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[list[int]], None]]:
    """What is done when ten stretches were run; it is given the ids of the dask workers."""
    todo: list[Callable[[list[int]], None]] = []
    take, taken = clusters.ClusterCrew._take, itertools.count(1)

    def taking(crew: clusters.ClusterCrew, *given: Any) -> None:
        take(crew, *given)
        if next(taken) == 10:
            todo.pop()(list(crew._computers.client.run(os.getpid).values()))

    monkeypatch.setattr(clusters.ClusterCrew, "_take", taking)
    return todo


def test_nothing_is_left_there_when_it_ends(
    cluster: LocalCluster, tmp_path: Path, at_the_tenth: list[Callable[[list[int]], None]]
) -> None:
    theirs: list[int] = []
    at_the_tenth.append(lambda pids: theirs.extend(w for pid in pids for w in workers_of(pid)))
    address = cluster.scheduler_address
    bp.explore(DIALS, tmp_path / "x.bpx", stretches=20, workers=address, **ASKED).close()
    assert len(theirs) == 2
    wait_for(lambda: not any(map(alive, theirs)))


def test_a_worker_that_is_gone_is_done_without(
    cluster: LocalCluster, tmp_path: Path, at_the_tenth: list[Callable[[list[int]], None]]
) -> None:
    """Its stretch is run by another one; one that comes instead learns what there is to know."""
    at_the_tenth.append(lambda pids: os.kill(pids[0], signal.SIGKILL))
    address = cluster.scheduler_address
    with bp.explore(LOCK, tmp_path / "x.bpx", stretches=60, workers=address, **ASKED) as found:
        assert len(found.tree) == 60
        assert max(node.worker for node in found.tree.nodes) >= 2, "none came instead"


def test_a_cluster_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("branchpoint.futures.running.computers._PATIENCE", 1)
    with pytest.raises(bp.BranchpointError, match="no cluster at"):
        bp.explore(LOCK, tmp_path / "x.bpx", stretches=1, workers="tcp://127.0.0.1:1", **ASKED)
