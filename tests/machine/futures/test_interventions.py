"""Which faults matter, and how few are enough: on a system whose answers are known."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import branchpoint as bp
from branchpoint import failure, progress
from branchpoint.futures.attribution import Attribution
from branchpoint.search import triage as triaging

COMPOSE = """
name: pairs
x-branchpoint:
  fault:
    - {kill: spare, between: [500ms, 750ms]}
    - {kill: left, between: [1s, 1250ms]}
    - {kill: other, between: [1500ms, 1750ms]}
    - {kill: right, between: [2s, 2250ms]}

x-server: &server
  x-branchpoint-debian: {packages: [busybox-static], files: {/srv/f: {content: "x"}}}
  command: [busybox, httpd, -f, -p, "80", -h, /srv]

services:
  left: *server
  right: *server
  spare: *server
  other: *server
  watcher:
    x-branchpoint-debian: {packages: [busybox-static]}
    command:
      - busybox
      - sh
      - -c
      - >-
        busybox mkfifo /never;
        while true; do
        read -t 0.2 nothing <>/never;
        busybox wget -q -O /dev/null http://left/f ||
        busybox wget -q -O /dev/null http://right/f ||
        echo "both are gone";
        done
    depends_on: [left, right]
"""
KNOWN = Path(__file__).parents[1] / "systems" / "known"
GONE = failure(log="both are gone")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    folder = tmp_path_factory.mktemp("pairs")
    (folder / "compose.yaml").write_text(COMPOSE)
    path = folder / "pairs.branchpoint"
    with bp.record(folder, path, seed=1, duration=20, until=GONE, after=0.5) as run:
        yield run


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    path = tmp_path_factory.mktemp("race") / "race.branchpoint"
    with bp.record(KNOWN / "race.yaml", path, seed=1, duration=7) as run:
        yield run


def names(events: bp.EventSet) -> list[str]:
    return [f"{e.fields['type']} {e.fields['target']}" for e in events.where(type="fault.start")]


def starts(events: bp.EventSet) -> list[tuple[str, str, float]]:
    """Id, target and instant, to the ms, of the faults."""
    return [
        (e.fields["id"], e.fields["target"], round(e.vtime, 3))
        for e in events.where(type="fault.start")
    ]


def test_the_recording_fails_after_its_faults(pairs: bp.Recording) -> None:
    assert names(pairs.events) == ["kill spare.1", "kill left.1", "kill other.1", "kill right.1"]
    assert pairs.failure.vtime > 2


def test_taking_a_fault_away_shows_whether_it_decides(pairs: bp.Recording) -> None:
    found = pairs.attribute(GONE, workers=1)
    assert [row.fault.name for row in found.rows] == [
        "kill of spare.1", "kill of left.1", "kill of other.1", "kill of right.1"
    ]  # fmt: skip
    assert [row.prevents for row in found.rows] == [False, True, False, True]
    assert [row.fault.target for row in found.decisive] == ["left.1", "right.1"]
    assert found.stable and found.bare is not None and found.bare.verdict == "passed"
    left, right = (row.fault for row in found.decisive)
    assert found.conclusion == [
        f"without kill of left.1 at {left.vtime:.3f} s the failure does not happen",
        f"without kill of right.1 at {right.vtime:.3f} s the failure does not happen",
    ]
    assert repr(pairs.attribute(GONE, workers=1)) == repr(found)
    assert len(found._repr_html_()) < 3000


def test_all_other_faults_come_as_recorded_and_the_id_tells_the_future(
    pairs: bp.Recording,
) -> None:
    found = pairs.attribute(GONE, workers=1)
    for number, row in enumerate(found.rows):
        branch = found.branch(number)
        assert branch.id == row.id
        others = [f for f in starts(pairs.events) if f[:2] != (row.fault.id, row.fault.target)]
        assert starts(branch.events) == others[: len(starts(branch.events))]
        assert len(others) - len(starts(branch.events)) == 0
        assert branch.events.where(type="error").first is None
        gone = branch.events.where(text="both are gone").first
        assert (gone.at if gone else None) == row.draw.failed_at
    again = pairs.at(found.rows[1].id)
    assert again.events.map(str) == found.branch(1).events.map(str)


@pytest.mark.long
def test_rates_tell_it_with_everything_drawn_anew(pairs: bp.Recording) -> None:
    """When a fault has begun, all later events are certain, so the rates are 0 or 1."""
    found = pairs.attribute(GONE, seeds=5, workers=1, horizon=2)
    assert [row.fault.target for row in found.decisive] == ["left.1", "right.1"]
    frame = found.frame.set_index("target")
    assert list(frame["present"]) == [5, 5, 5, 5]
    assert list(frame["absent"]) == [5, 0, 5, 0]
    assert list(frame["effect"]) == [0, -1, 0, -1]
    assert found.conclusion[-1].startswith("kill of right.1 at 2.")
    assert found.conclusion[-1].endswith("5/5 fail with it, 0/5 without it; by chance: 3.1 %")


@pytest.mark.long
def test_faults_that_a_user_asked_for_are_taken_away_too(
    pairs: bp.Recording, tmp_path: Path
) -> None:
    branch = pairs.at(0.3).branch()
    branch.faults.pause()
    branch.wait(0.1).faults.freeze("other", for_=0.5)
    branch.wait(0.2).faults.kill("left")
    branch.wait(0.3).faults.kill("right")
    branch.wait_until("log:watcher:both are gone")
    found = pairs.attribute(GONE, of=branch, workers=1)
    assert [(row.fault.id, row.prevents) for row in found.rows] == [
        ("b1", False), ("b2", True), ("b3", True)
    ]  # fmt: skip
    assert [pairs.at(row.id).vtime for row in found.rows] == pytest.approx(
        [(row.draw.end - pairs.origin) / 1e9 for row in found.rows]
    )
    path = tmp_path / "asked.branchpoint"
    with pairs.minimise(GONE, path, of=branch, workers=1) as small:
        assert names(small.events) == ["kill left.1", "kill right.1"]
        again = small.attribute(GONE, workers=1)
        assert [row.prevents for row in again.rows] == [True, True]
        assert names(again.branch(0).events) == ["kill right.1"]
        for number, row in enumerate(again.rows):  # an id says what was recorded and is left out
            rebuilt = small.at(row.id)
            assert rebuilt.events.map(str) == again.branch(number).events.map(str)


@pytest.mark.long
def test_the_fewest_faults_are_a_recording_of_its_own(pairs: bp.Recording, tmp_path: Path) -> None:
    with pairs.minimise(GONE, tmp_path / "small.branchpoint", workers=1) as small:
        assert names(small.events) == ["kill left.1", "kill right.1"]
        assert small.origin == pairs.origin
        assert small.manifest.title == pairs.manifest.title
        assert small.manifest.ended == GONE.name
        assert small.duration == pytest.approx(small.failure.vtime + 2, abs=0.2)
        parting = next(i.at for i in small.manifest.inputs if i not in pairs.manifest.inputs)
        common = {at: digest for at, digest in pairs.files.digests.items() if at < parting}
        assert common and common.items() <= small.files.digests.items()
    with bp.open(tmp_path / "small.branchpoint") as opened:
        branch = opened.at(0.1).branch().wait(opened.duration - 0.1)  # compared with digests
        assert branch.events.map(str) == opened.events.map(str)
        gone = opened.events.where(text="both are gone").first
        assert gone is not None and gone.at == opened.failure.at
        assert [row.prevents for row in opened.attribute(GONE, workers=1).rows] == [True, True]


@pytest.mark.long
def test_where_one_fault_decides_it_alone_is_left(tmp_path: Path, pairs: bp.Recording) -> None:
    """For the log of the container that was killed third, only its kill matters."""
    path = tmp_path / "one.branchpoint"
    killed = failure(exit="other.*", asked=True)
    found = pairs.attribute(killed, workers=1)
    assert [row.fault.target for row in found.rows] == ["spare.1", "left.1", "other.1"]
    assert [row.fault.target for row in found.decisive] == ["other.1"]
    with pairs.minimise(killed, path, workers=1) as small:
        assert names(small.events)[0] == "kill other.1"
        assert small.failure.vtime == pytest.approx(found.rows[2].fault.vtime, abs=0.1)


def test_futures_off_one_moment_are_contrasted(pairs: bp.Recording) -> None:
    """With new seeds the instants of the kills are drawn anew, but all kills happen."""
    found = pairs.contrast(1.35, GONE, futures=8, horizon=2, workers=1)
    again = pairs.contrast(1.35, GONE, futures=8, horizon=2, workers=1)
    assert repr(found) == repr(again)
    assert "8 failing, 0 passing" in found.about


def test_lines_that_only_failing_futures_have_are_found(race: bp.Recording) -> None:
    """The first timer writes this before the container ends; both are set in any case."""
    found = race.contrast(3.5, "exit:race", futures=24, workers=1)
    assert found.rows[0].cause == "log race.#: the first timer".replace("#", "1")
    failing, failed = found.rows[0].failing, found.rows[0].failed
    assert found.rows[0] in found.decisive and failing == failed and found.rows[0].passing == 0
    assert f"{failed} failing, {24 - failed} passing" in repr(found)
    assert "log race.1: timers: # #" not in [row.cause for row in found.rows]  # all have it
    without = race.contrast(3.5, "exit:race", futures=24, lines=False, workers=1)
    assert without.about == found.about and without.rows == []
    (ledger,) = (race.path / "curves").glob("*.jsonl")  # where a curve finds its draws
    assert len(ledger.read_text().splitlines()) == 24


def test_futures_off_a_branch_are_contrasted_too(race: bp.Recording) -> None:
    branch = race.at(3).branch()
    branch.faults.freeze("race", for_=0.2)
    branch.wait(0.5)
    found = race.contrast(branch, "exit:race", futures=6, lines=False, workers=1)
    assert found.about.startswith(f"exit of race: futures from {branch.end}: ")
    assert sum(int(n) for n in re.findall(r"(\d+) (?:failing|passing)", found.about)) == 6
    assert found.rows == []  # all were frozen, and no container but the one that ends


def test_what_was_done_before_an_interrupt_is_known(pairs: bp.Recording) -> None:
    totals: list[float | None] = []

    def interrupt(task: progress.Task, *, final: bool) -> None:
        if task.done >= 4 and not final:
            raise KeyboardInterrupt

    def look(task: progress.Task, *, final: bool) -> None:
        if task.unit == "futures":
            totals.append(task.total)

    def asked() -> Attribution:
        return pairs.attribute(GONE, horizon=1.5, workers=1)  # a separate question

    undo = progress.use(interrupt)
    try:
        partial = asked()
        assert 0 < len(partial.rows) < 4 and partial.unknown == 4 - len(partial.rows)
        assert f"stopped early: {partial.unknown} more faults are not" in repr(partial)
        progress.use(look)
        assert "the failure does not happen" in repr(asked())
    finally:
        undo()
    assert totals and max(total or 0 for total in totals) <= 2  # of 6


@pytest.mark.long
def test_what_was_interrupted_gives_what_it_has(
    pairs: bp.Recording,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress, "_PATIENCE", 0)  # told at each future, however fast they are
    monkeypatch.setattr(progress, "_REDRAW", 0)

    def after(futures: int) -> None:
        def interrupt(task: progress.Task, *, final: bool) -> None:
            if task.unit == "futures" and task.done >= futures and not final:
                raise KeyboardInterrupt

        progress.use(interrupt)

    def nothing(task: progress.Task, *, final: bool) -> None:
        pass

    undo = progress.use(nothing)
    try:
        after(3)
        found = pairs.contrast(1.3, GONE, futures=40, horizon=2, workers=1)
        assert "stopped early: " in found.about and " 3 failing, 0 passing" in found.about
        assert "stopped with 3 of about 40 futures" in capsys.readouterr().err
        rarity = pairs.how_rare(GONE, 1.3, horizon=2, workers=1)
        assert (rarity.trials, rarity.stopped) == (3, True)
        assert repr(rarity).endswith("; stopped early")
        after(1)
        path = tmp_path / "few.branchpoint"
        with pytest.raises(KeyboardInterrupt) as stop:
            pairs.minimise(GONE, path, horizon=1.25, workers=1)
        assert "calling it again goes on" in stop.value.__notes__[0]
        assert not path.exists()
    finally:
        undo()


@pytest.mark.parametrize("call", ["attribute", "minimise"])
def test_without_faults_there_is_nothing_to_remove(
    small: bp.Recording, tmp_path: Path, call: str
) -> None:
    given = [tmp_path / "x"] if call == "minimise" else []
    with pytest.raises(bp.BranchpointError, match="no faults"):
        getattr(small, call)("exit:job", *given)


def test_a_failure_that_never_comes_cannot_be_minimised(
    pairs: bp.Recording, tmp_path: Path
) -> None:
    with pytest.raises(bp.BranchpointError, match="does not happen"):
        pairs.minimise(failure(log="never"), tmp_path / "x.branchpoint")


# -- what is told of a finding


@pytest.mark.long
def test_the_triage_of_a_finding_has_the_fewest_faults(
    pairs: bp.Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triaging, "_COARSE", {"precision": 0.4, "points": 3, "resolution": 2})
    path = tmp_path / "1.branchpoint"
    shutil.copytree(pairs.path, path)
    told = triaging.triage(path, GONE)
    assert told.decided[-1] == "2 of its 4 faults are enough: 1-minimal.branchpoint"
    assert "both are gone" in told.words
    with bp.open(tmp_path / "1-minimal.branchpoint") as small:
        assert names(small.events) == ["kill left.1", "kill right.1"]
    assert triaging.triage(path, GONE) == told  # it is there already
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "1-minimal.branchpoint", "1.branchpoint",
    ]  # fmt: skip
