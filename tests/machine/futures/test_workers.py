"""Worker processes: the same answers as without them, whichever dies; nothing is left behind."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from processes import ROUNDS, alive, emulators_of, wait_for, workers_of

import branchpoint as bp
from branchpoint.events.event import Event
from branchpoint.futures.draws import Draw
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.futures.running.workers import Pool
from branchpoint.timeline.failures import Failure, failure

TENTH = 100_000_000
MANY = int(os.environ.get("BRANCHPOINT_TEST_FUTURES", "40"))
NEVER = failure(log="this is never said")

CURVE = """
import sys, branchpoint as bp
from branchpoint.futures.running.workers import Pool
run = bp.open(sys.argv[1])
with Pool(run, bp.failure(log="never"), 300_000_000, relative=True, workers=2) as pool:
    at = run.at(2).at
    for draw in pool.run((at, seed) for seed in range(10**6)):
        print(draw.seed, flush=True)
"""


@pytest.fixture
def jobs(small: bp.Recording) -> list[tuple[int, int]]:
    forks = [small.at(vtime).at for vtime in (1, 2, 3.5)]
    return list(itertools.islice(itertools.product(forks, range(MANY)), MANY))


def pool_of(run: bp.Recording, what: Failure = NEVER, workers: int = 2) -> Pool:
    return Pool(run, what, 3 * TENTH, relative=True, workers=workers)


def by_id(draws: Iterator[Draw]) -> dict[tuple[int, int], Draw]:
    return {(draw.at, draw.seed): draw for draw in draws}


def family(pool: Pool) -> list[int]:
    """All processes of a pool: workers and their emulators."""
    return [*pool.pids, *emulators(pool)]


def emulators(pool: Pool) -> list[int]:
    return [each for pid in pool.pids for each in emulators_of(pid)]


def test_workers_find_what_one_finds_alone(small: bp.Recording) -> None:
    """With full digests of the machine at the end, with both cores busy."""
    forks = [small.at(vtime).at for vtime in (1, 2, 3.5)]
    wanted = [FutureSpec(at, seed, digest=True) for at in forks for seed in range(MANY // 6)]
    random.Random(2).shuffle(wanted)
    alone = Futures(small, NEVER, lambda at: at + 3 * TENTH)
    with pool_of(small) as pool:
        found = list(pool.outcomes(wanted))
        assert len(found) == len(wanted)
        assert pool.shares.futures == len(wanted)
        mine = {(job.at, job.seed): alone.run(job) for job in wanted}
        assert {(each.draw.at, each.draw.seed): each for each in found} == mine


def test_functions_of_the_user_reach_the_workers(small: bp.Recording) -> None:
    bound = small.at(2).vtime

    def late(event: Event) -> bool:
        return event.container == "client.1" and event.vtime > bound

    with pool_of(small, failure(check=late)) as pool:
        draws = list(pool.run([(small.at(2).at, seed) for seed in range(4)]))
    assert {draw.verdict for draw in draws} == {"failed"}
    assert all(draw.failed_at and draw.failed_at > small.at(bound).at for draw in draws)


def test_an_error_of_the_users_function_is_told(small: bp.Recording) -> None:
    def wrong(event: Event) -> bool:
        return event.fields["no such field"] == "1"

    with pool_of(small, failure(check=wrong)) as pool:
        for _ in range(2):  # and the pool can be used again
            with pytest.raises(bp.BranchpointError, match="no such field"):
                list(pool.run([(small.at(2).at, seed) for seed in range(4)]))


def test_an_iterator_is_asked_only_for_what_is_soon_needed(small: bp.Recording) -> None:
    at = small.at(2).at
    asked = itertools.count()
    with pool_of(small) as pool:
        draws = pool.run((at, next(asked)) for _ in itertools.repeat(None))
        seen = list(itertools.islice(draws, 5))
        assert len({draw.seed for draw in seen}) == 5
        assert next(asked) < 5 + 2 * 6
        draws.close()
        assert {draw.seed for draw in pool.run([(at, 10**6)])} == {10**6}, "nothing old is mixed in"


def test_no_jobs_need_no_workers(small: bp.Recording) -> None:
    with pool_of(small) as pool:
        assert list(pool.run([])) == []
        assert pool.pids == []


def test_closing_ends_all_processes(small: bp.Recording) -> None:
    with pool_of(small) as pool:
        next(pool.run([(small.at(2).at, seed) for seed in range(20)]))
        processes = family(pool)
        assert len(processes) >= 3
    wait_for(lambda: not any(map(alive, processes)))
    with pytest.raises(bp.BranchpointError, match="were ended"):
        list(pool.run([(small.at(2).at, 1)]))


@pytest.mark.long
@pytest.mark.parametrize("round", ROUNDS)
def test_a_worker_that_dies_is_replaced(
    small: bp.Recording, jobs: list[tuple[int, int]], round: int
) -> None:
    chance = random.Random(round)
    with pool_of(small) as pool:
        first, second = chance.sample(range(MANY - 4), 2)
        found: list[Draw] = []
        for number, draw in enumerate(pool.run(jobs)):
            found.append(draw)
            if number == first:
                os.kill(chance.choice(pool.pids), signal.SIGKILL)
            elif number == second and emulators(pool):
                os.kill(chance.choice(emulators(pool)), signal.SIGKILL)
    assert sorted((draw.at, draw.seed) for draw in found) == sorted(jobs)
    assert {draw.verdict for draw in found} == {"passed"}


def test_a_job_that_kills_its_workers_is_named(small: bp.Recording) -> None:
    def deadly(event: Event) -> bool:
        os.kill(os.getpid(), signal.SIGKILL)
        return False

    said = r"2 worker processes died while they ran 2\.000~5"
    with pool_of(small, failure(check=deadly)) as pool, pytest.raises(bp.MachineError, match=said):
        list(pool.run([(small.at(2).at, 5)]))


def test_a_job_that_no_worker_understands_is_named(small: bp.Recording) -> None:
    job = FutureSpec(small.at(2).at, "five")  # type: ignore[arg-type]
    said = r"2 worker processes died while they ran 2\.000~five"
    with pool_of(small) as pool, pytest.raises(bp.MachineError, match=said):
        list(pool.outcomes([job]))


def test_workers_that_cannot_start_are_an_error(small: bp.Recording) -> None:
    with pool_of(small) as pool:
        pool.setup = msgspec.structs.replace(pool.setup, recording="/nowhere.branchpoint")
        with pytest.raises(bp.RecordingError, match="nowhere"):
            list(pool.run([(small.at(2).at, 5)]))


def test_an_interrupt_leaves_the_pool_usable(small: bp.Recording) -> None:
    at = small.at(2).at
    with pool_of(small) as pool:
        found = []
        main = threading.main_thread().ident
        assert main is not None
        with pytest.raises(KeyboardInterrupt):
            for draw in pool.run((at, seed) for seed in itertools.count()):
                found.append(draw)
                if len(found) == 5:
                    threading.Thread(target=signal.pthread_kill, args=(main, signal.SIGINT)).start()
        assert all(map(alive, family(pool)))
        again = by_id(pool.run([(at, draw.seed) for draw in found]))
        assert again == by_id(iter(found))


@pytest.mark.parametrize("round", ROUNDS)
def test_nothing_outlives_a_parent_that_is_killed(small_path: Path, round: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", CURVE, small_path], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(random.Random(round).choice((0, 1, 7))):
        assert process.stdout.readline()
    wait_for(lambda: workers_of(process.pid))
    workers = workers_of(process.pid)
    emulators = [each for worker in workers for each in emulators_of(worker)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    emulators += [each for worker in workers for each in emulators_of(worker)]
    wait_for(lambda: not any(map(alive, [*workers, *emulators])), 20)
