"""Futures run one after another: the same by id, judged early, leaving nothing behind."""

from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import branchpoint as bp
from branchpoint import bash
from branchpoint.futures.interventions import Timeline
from branchpoint.futures.running.future import Futures, FutureSpec
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.replaying import checking
from branchpoint.timeline.replaying.history import History

SECOND = 1_000_000_000
MANY = int(os.environ.get("BRANCHPOINT_TEST_FUTURES", "40"))
NEVER = failure(log="this is never said")


def futures(run: bp.Recording, what: Failure = NEVER, horizon: float = 1) -> Futures:
    return Futures(run, what, lambda at: at + round(horizon * SECOND))


def instant(run: bp.Recording, vtime: float) -> int:
    return run.at(vtime).at


def test_futures_replayed_by_id_end_in_the_same_state(small: bp.Recording) -> None:
    """A future is the branch that its id names: same events, same machine, bit for bit."""
    maker = futures(small)
    chance = random.Random(1)
    points = [instant(small, vtime) for vtime in (0.5, 1.234567, 3)]
    seeds = range(MANY // 8)
    jobs = [FutureSpec(at, seed, digest=True) for at, seed in itertools.product(points, seeds)]
    first = {(job.at, job.seed): maker.run(job) for job in jobs}
    chance.shuffle(jobs)
    assert {(job.at, job.seed): maker.run(job) for job in jobs} == first
    assert len({outcome.digest for outcome in first.values()}) == len(first)
    job = jobs[0]
    name = f"{(job.at - small.origin) / 1e9:.9f}~{job.seed}@{(job.at - small.origin) / 1e9 + 1:.9f}"
    tip = small.at(name)
    player = small.replayer.bring(tip._history, tip._point)
    assert player.computer.digest().hex() == first[job.at, job.seed].digest
    assert player.computer.capture().digest(small.replayer.pool).hex() == (
        first[job.at, job.seed].digest
    )


def test_a_digest_taken_in_between_changes_nothing(small: bp.Recording) -> None:
    at = instant(small, 2)
    plain = futures(small).run(FutureSpec(at, 5))
    looked = futures(small).run(FutureSpec(at, 5, digest=True))
    again = futures(small).run(FutureSpec(at, 5, digest=True))
    assert looked.draw == plain.draw
    assert looked == again
    assert not plain.digest


def test_futures_off_a_branch_are_its_own_and_the_way_there_is_run_once(
    small: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command at the very instant at which they begin belongs to all of them."""
    branch = small.at(1).branch(seed=3)
    bash("echo mine > /srv/mine").run(branch, "server.1")
    branch.wait(0.5)
    bash("sleep 9").run_in_background(branch, "server.1")
    timeline, here = Timeline(small, branch), branch.end
    maker, played = futures(small), []
    play = small.replayer.play

    def count(history: History, until: int, *more: Any, **options: Any) -> bool:
        played.append(until)
        return play(history, until, *more, **options)

    monkeypatch.setattr(small.replayer, "play", count)
    for seed in (1, 2, 1):
        given = timeline.reseeded(seed, None)
        kept = structs.replace(timeline.job(given, here.at, since=here.at), digest=True)
        whole = structs.replace(timeline.job(given, here.at), digest=True)
        assert kept.since == here.at > kept.at == whole.at == instant(small, 1)
        outcome = maker.run(kept)
        assert outcome.draw.at == here.at and outcome.draw.verdict == "passed"
        until = outcome.draw.end
        same = Futures(small, NEVER, lambda at, until=until: until).run(whole)  # type: ignore[misc]
        assert same.digest == outcome.digest
    assert played == [here.at]


def test_a_future_off_a_branch_is_judged_from_there_on(small: bp.Recording) -> None:
    """What its way said before does not count, and is known to conditions on the past."""
    branch = small.at(1).branch(seed=3)
    bash("echo now > /proc/1/fd/1").run(branch, "server.1")
    branch.wait(0.1)
    assert branch.events.where(type="log", text="now", container="server.1")
    said = failure(log="now", container="server")
    assert small.how_rare(said, branch.end, futures=2, horizon=small.at(2)).failed == 0
    again = said & failure(log="got", container="client")
    assert small.how_rare(again, branch.end, futures=2, horizon=small.at(3)).failed == 2


def test_no_seed_is_what_was_recorded(small: bp.Recording) -> None:
    """Without a seed it ends in the recorded state, whose digests are in the recording."""
    digests = small.files.digests
    end = sorted(at for at in digests if at > small.origin + 2 * SECOND)[0]
    start = end - 700_000_000
    outcome = Futures(small, NEVER, lambda at: end).run(FutureSpec(start, None, digest=True))
    assert outcome.digest == digests[end].hex()
    assert outcome.draw.end == end


def test_it_stops_early_when_the_failure_is_there(small: bp.Recording) -> None:
    got = failure(log="got: hello", container="client")
    draw = futures(small, got, horizon=3).run(FutureSpec(instant(small, 1), 3)).draw
    assert draw.verdict == "failed" and draw.failed_at is not None
    assert draw.at < draw.failed_at <= draw.end < draw.at + SECOND
    branch = small.at(1).branch(seed=3).wait(1)
    seen = branch.events.where(container="client", text="got: hello").after(small.at(1)).first
    assert seen is not None and seen.at == draw.failed_at


def test_the_horizon_is_reached_exactly(small: bp.Recording) -> None:
    at = instant(small, 1)
    draw = futures(small, horizon=0.7).run(FutureSpec(at, 3)).draw
    assert (draw.verdict, draw.end, draw.failed_at) == ("passed", at + 700_000_000, None)


@pytest.mark.parametrize(
    ("script", "verdict"), [("test -e /srv/greeting", "passed"), ("test -e /nothing", "failed")]
)
def test_a_command_gives_the_verdict(small: bp.Recording, script: str, verdict: str) -> None:
    at = instant(small, 1)
    for when in ({}, {"after": 0.3}, {"at": 1.25}):
        what = failure(shell=script, container="server.1", **when)
        draw = futures(small, what, horizon=0.5).run(FutureSpec(at, 2)).draw
        assert draw.verdict == verdict
        if when and verdict == "failed":
            assert draw.end < at + SECOND / 2


def test_something_good_by_the_horizon(small: bp.Recording) -> None:
    at = instant(small, 1)
    good = failure(eventually=failure(log="got", container="client"))
    assert futures(small, good).run(FutureSpec(at, 1)).draw.verdict == "passed"
    missing = failure(eventually="log:client:nothing like it")
    draw = futures(small, missing).run(FutureSpec(at, 1)).draw
    assert (draw.verdict, draw.failed_at) == ("failed", at + SECOND)


def test_causes_and_course_tell_what_happened(small: bp.Recording) -> None:
    at = instant(small, 1)
    kill = small.at(1).branch()
    kill.control("kill", "client", "9")
    inputs = [i for i in kill._history.inputs if i.at == at and i.kind == "fault"]
    quiet = futures(small).run(FutureSpec(at, 1)).draw
    killed = futures(small).run(FutureSpec(at, 1, inputs)).draw
    assert quiet.causes == []
    assert killed.causes[0] == "exit client.1 signal 9"
    assert "start client.1" in killed.causes
    when = dict(zip(killed.causes, killed.instants, strict=True))
    assert at <= when["exit client.1 signal 9"] < when["start client.1"] < killed.end
    assert quiet.course != killed.course


def test_a_machine_that_stops_for_good_is_censored(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    bash("sleep 0.2; echo c > /proc/sysrq-trigger").run_in_background(branch)
    at = instant(small, 2)
    inputs = [i for i in branch._history.inputs if i.kind == "command"]
    maker = futures(small)
    draw = maker.run(FutureSpec(at, 1, inputs)).draw
    assert draw.verdict == "censored"
    assert draw.causes[-1].startswith("censored: ")
    assert draw.instants[-1] == draw.end
    assert maker.run(FutureSpec(at, 1)).draw.verdict == "passed"


def test_nothing_grows_with_the_number_of_futures(
    small: bp.Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(checking.SETTING, "0")  # a check may open another file of pages
    maker = futures(small, horizon=0.1)
    at = instant(small, 2)
    maker.run(FutureSpec(at, 0))
    replayer = small.replayer

    def held() -> list[object]:
        computer = replayer.bring(replayer.root, replayer.root.point(at)).computer
        files = len(list(Path("/proc/self/fd").iterdir()))
        return [len(replayer.pool), len(replayer.root.states), computer.pid, files]

    before = held()
    for seed in range(1, MANY):
        maker.run(FutureSpec(at, seed))
    assert held() == before
    assert len(replayer._players) <= 2


def test_a_session_goes_on_beside_futures(small: bp.Recording) -> None:
    branch = small.at(2).branch()
    bash("echo mine > /srv/mine").run(branch, "server.1")
    maker = futures(small, horizon=0.2)
    for seed in range(3):
        maker.run(FutureSpec(instant(small, 1 + seed), seed))
        assert bash("cat /srv/mine").run(branch, "server.1").output == "mine\n"


def test_a_future_has_to_end_after_it_begins(small: bp.Recording, small_path: Path) -> None:
    with pytest.raises(bp.BranchpointError, match="has its horizon at"):
        Futures(small, NEVER, lambda at: at - 1).run(FutureSpec(instant(small, 1), 0))
