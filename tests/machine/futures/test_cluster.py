"""Futures on a cluster of two worker processes that have only this program."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3
from computers import cluster_of
from distributed import LocalCluster
from processes import alive, wait_for, workers_of

import branchpoint as bp
from branchpoint.cache import cache_dir
from branchpoint.events.event import Event
from branchpoint.futures.running import computers, parcels
from branchpoint.futures.running.cluster import Cluster, open_pool
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.timeline.failures import failure

TENTH = 100_000_000
NEVER = failure(log="this is never said")
pytestmark = pytest.mark.slow


def pool_of(run: bp.Recording, cluster: LocalCluster, what: bp.Failure = NEVER) -> Cluster:
    address = cluster.scheduler_address
    pool = open_pool(run, what, 3 * TENTH, relative=True, workers=address)
    assert isinstance(pool, Cluster)
    return pool


@pytest.mark.long
def test_a_cluster_finds_what_one_finds_alone(small: bp.Recording, cluster: LocalCluster) -> None:
    jobs = [FutureSpec(small.at(at).at, seed, digest=True) for at in (1, 3) for seed in range(4)]
    alone = Futures(small, NEVER, lambda at: at + 3 * TENTH)
    mine = {(job.at, job.seed): alone.run(job) for job in jobs}
    with pool_of(small, cluster) as pool:
        assert pool.count == 2
        found = {(each.draw.at, each.draw.seed): each for each in pool.outcomes(jobs)}
        theirs = [
            w for pid in pool._computers.client.run(os.getpid).values() for w in workers_of(pid)
        ]
        assert len(theirs) == 2
    assert found == mine
    wait_for(lambda: not any(map(alive, theirs)))


@pytest.mark.long
def test_what_was_sent_is_not_sent_again(small: bp.Recording, cluster: LocalCluster) -> None:
    with pool_of(small, cluster) as pool:
        client = pool._computers.client
        for parcel in parcels.parcels(small):
            there = client.run(parcels.here, parcel.kind, parcel.digest)
            assert set(there.values()) == {True}
        assert set(client.run(cache_dir).values()) != {cache_dir()}
        draws = list(pool.run([(small.at(2).at, seed) for seed in range(3)]))
    assert {draw.verdict for draw in draws} == {"passed"}


def test_functions_and_errors_travel(small: bp.Recording, cluster: LocalCluster) -> None:
    def wrong(event: Event) -> bool:
        return event.fields["no such field"] == "1"

    with (
        pool_of(small, cluster, failure(check=wrong)) as pool,
        pytest.raises(bp.BranchpointError, match="no such field"),
    ):
        list(pool.run([(small.at(2).at, seed) for seed in range(3)]))


@pytest.mark.long
def test_a_worker_that_is_gone_is_done_without(small: bp.Recording, cluster: LocalCluster) -> None:
    wanted = [(small.at(2).at, seed) for seed in range(12)]
    with pool_of(small, cluster) as pool:
        draws = []
        for draw in pool.run(wanted):
            draws.append(draw)
            if len(draws) == 3:
                victim = next(iter(pool._computers.client.run(os.getpid).values()))
                os.kill(victim, 9)
    assert sorted(draw.seed for draw in draws) == list(range(12))


@pytest.mark.long
def test_a_cluster_whose_workers_have_all_gone_is_not_waited_for(
    small: bp.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [(small.at(2).at, seed) for seed in range(12)]
    with (
        cluster_of(1, tmp_path) as alone,
        pool_of(small, alone) as pool,
        pytest.raises(bp.BranchpointError, match="lost all its workers"),
    ):
        for _ in pool.run(jobs):
            monkeypatch.setattr(computers, "_PATIENCE", 1)
            alone.scale(0)


def test_a_cluster_that_is_not_there(small: bp.Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computers, "_PATIENCE", 1)  # it tries for that long: it may yet come
    with pytest.raises(bp.BranchpointError, match="no cluster at"):
        open_pool(small, NEVER, TENTH, relative=True, workers="tcp://127.0.0.1:1")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("../x", tarfile.REGTYPE), ("/x", tarfile.REGTYPE), ("x", tarfile.SYMTYPE),
     ("x", tarfile.LNKTYPE), ("x", tarfile.FIFOTYPE)],
)  # fmt: skip
def test_a_parcel_brings_only_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: bytes
) -> None:
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path / "cache"))
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    archive = zstandard.compress(entry.tobuf() + bytes(1024))
    with pytest.raises(bp.RecordingError, match="cannot be in it"):
        parcels.receive("guest", "ab" * 16, 0, archive, blake3(archive).hexdigest())
    assert not parcels.place("guest", "ab" * 16).exists() and not (tmp_path / "x").exists()


def test_a_parcel_that_was_changed_on_the_way_is_refused(
    small: bp.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parcel = parcels.parcels(small)[-1]
    pieces = list(parcel.pieces())
    monkeypatch.setenv("BRANCHPOINT_CACHE", str(tmp_path))
    offset = 0
    for piece, whole in pieces:
        harmed = bytes([piece[0] ^ 1]) + piece[1:]
        if whole:
            with pytest.raises(bp.RecordingError, match="did not arrive"):
                parcels.receive(parcel.kind, parcel.digest, offset, harmed, whole)
        offset += len(piece)
    offset = 0
    for piece, whole in pieces:
        parcels.receive(parcel.kind, parcel.digest, offset, piece, whole)
        offset += len(piece)
    with bp.open(parcels.place(parcel.kind, parcel.digest)) as run:
        assert run.events.map(str) == small.events.map(str)
