"""An exploration finds what no plain seed would find in days; all of it can be visited again."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from processes import alive, wait_for, workers_of

import branchpoint as bp
from branchpoint.cli import main
from branchpoint.programs.python import Line
from branchpoint.search.code import lines_of
from branchpoint.search.exploration import Exploration
from branchpoint.search.stretches import Stretches
from branchpoint.search.tree import Node, Tree

SYSTEMS = Path(__file__).parents[1] / "systems"
LOCK, ALWAYS = SYSTEMS / "lock", SYSTEMS / "known" / "always.yaml"
PYTHON = SYSTEMS / "dials" / "python.yaml"
DIALS, INJECTED = SYSTEMS / "dials", SYSTEMS / "known" / "injected.yaml"
ASKED: dict[str, Any] = {"length": 1.2, "seed": 1, "workers": 1, "triaged": False}
HANGS = """
name: hangs
x-branchpoint: {ram: 256m, properties: {stuck: "silence:3s"}}
services:
  turns:
    x-branchpoint-debian: {packages: [busybox-static]}
    network_mode: none
    command:
      - busybox
      - sh
      - -c
      - >-
        busybox mkfifo /never;
        while echo turn; do
        read -t 0.3 nothing <>/never;
        case $$(busybox od -An -N1 -tu1 /dev/urandom) in *[0-9]0|*[0-9]8) read x </never;; esac;
        done
"""
MOST = 3000  # stretches; with plain seeds it would take 100 000
EXPLORE = """
import sys, branchpoint as bp
asked = {"length": 1.2, "seed": 1, "workers": 1}
bp.explore(sys.argv[1], sys.argv[2], stretches=int(sys.argv[3]), duration=3600, **asked)
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exploration]:
    """An exploration in which the lock was opened."""
    path = tmp_path_factory.mktemp("explored") / "lock.bpx"
    for most in range(100, MOST + 1, 100):
        with bp.explore(LOCK, path, stretches=most, duration=3600, **ASKED) as found:
            if found.findings:
                break
    with Exploration(path) as found:
        yield found


@pytest.mark.long
def test_five_unlikely_draws_in_a_row_are_found_one_after_another(opened: Exploration) -> None:
    assert len(opened.tree) <= MOST
    (finding,) = opened.findings
    assert (finding.failure, finding.kind) == ("unexpected exit", "exit lock.1 1")
    assert 5 < finding.vtime < 5.1
    turned = [sign for sign in opened.tree.signs if "dial" in sign]
    assert turned == [f"log lock.1: dial {dial} is turned" for dial in "abcde"]
    path = opened.tree.path(finding.nodes[0])
    assert sum(bool(opened.tree[number].fresh) for number in path) >= 5


@pytest.mark.long
def test_a_lock_that_says_nothing_is_opened_by_the_code_that_runs(tmp_path: Path) -> None:
    path, without = tmp_path / "dials.bpx", ("lines", "events", "assertions", "python")
    for most in range(100, MOST + 1, 100):
        with bp.explore(
            DIALS, path, stretches=most, duration=3600, without=without, **ASKED
        ) as found:
            if found.findings:
                break
    (finding,) = found.findings
    assert finding.kind == "exit lock.1 1" and finding.led_by == ("code",)
    assert found.tree.signs == [] and len(found.tree.code) > 100
    with Exploration(path) as again:
        assert again.tree.code.places == found.tree.code.places
        assert again.head.signals == ("code",)
    with pytest.raises(bp.BranchpointError, match="signals"):
        bp.explore(DIALS, path, stretches=1, **ASKED)


@pytest.mark.long
def test_a_silent_program_in_python_is_seen_by_its_lines(tmp_path: Path) -> None:
    """The interpreter runs the same code whether a dial is turned or not."""
    without = ("lines", "events", "assertions", "code")
    asked = {**ASKED, "duration": 3600, "without": without}
    script = (PYTHON.parent / "dials.py").read_text().splitlines()
    turned = Line("/usr/local/bin/dials.py", "", script.index("        turned = 1") + 1)
    place = int(lines_of([turned])[0])
    for most in range(100, MOST, 100):
        with bp.explore(PYTHON, tmp_path / "x.bpx", stretches=most, **asked) as found:
            node = next((each for each in found.tree.nodes if place in each.fresh_code), None)
            if node is not None:
                break
    assert node is not None
    assert found.tree.signs == [] and 5 < len(found.tree.code) < 100
    files = found.files_ran()
    assert files is not None
    (mine,) = [each for each in files if each.path == turned.file]
    assert mine.containers == ["lock.1"] and mine.places > 3
    with Exploration(tmp_path / "x.bpx") as again:
        stretches = Stretches(again.tree, again.open_base, (), again.head.signals)
        ran = stretches.run(node.parent, node.seed, node.end - node.start)
        stretches.close()
    assert place in ran.places


@pytest.mark.long
def test_a_system_that_hangs_is_found_by_its_silence(tmp_path: Path) -> None:
    """In one turn of five it waits for what never comes; nothing else tells that it hangs."""
    (tmp_path / "compose.yaml").write_text(HANGS)
    path = tmp_path / "hangs.bpx"
    with bp.explore(tmp_path, path, stretches=60, duration=3600, **ASKED) as found:
        (finding,) = found.findings
        assert (finding.failure, finding.kind) == ("stuck", "")
        with bp.open(finding.path) as run:
            last = run.events.where(type="log", container="turns", end=run.failure).last
            assert last is not None
            assert run.failure.vtime == pytest.approx(last.vtime + 3)


def test_what_is_not_to_be_looked_at_has_a_known_name(tmp_path: Path) -> None:
    with pytest.raises(bp.BranchpointError, match='did you mean "lines"'):
        bp.explore(LOCK, tmp_path / "x.bpx", without=["line"])  # type: ignore[list-item]


def test_a_finding_is_a_recording_that_replays(opened: Exploration) -> None:
    (finding,) = opened.findings
    with bp.open(finding.path) as run:
        assert run.failure.vtime == pytest.approx(finding.vtime, abs=1e-9)
        exit = run.events.where(type="container.exit").last
        assert exit is not None and exit.fields["code"] == "1"
        verified = bp.verify(run)
        assert verified and verified.equal == verified.states > 0
        early = run.at(0.1)
        assert run.end.inputs[-1].kind == "seed" and early.inputs == run.end.inputs
        branch = early.branch().wait(run.duration - 0.1)
        assert branch.events.map(str) == run.events.map(str)


def test_stretches_are_moments_that_are_the_same_on_a_fresh_computer(opened: Exploration) -> None:
    chance = random.Random(1)
    some = sorted(chance.sample(range(1, len(opened.tree) + 1), 6))

    def seen(found: Exploration, number: int) -> tuple[int, str, list[str]]:
        end = found.branch(number).end
        with found.branch(number).run.replayer.lock:
            player = end.run.replayer.bring(end._history, end._point)
            digest = player.computer.digest().hex()
        return end.at, digest, [event.text for event in end.events]

    first = {number: seen(opened, number) for number in some}
    with Exploration(opened.path) as again:
        for number in reversed(some):
            assert seen(again, number) == first[number], number
            assert first[number][0] == again.tree.end(number)
    with pytest.raises(bp.BranchpointError, match="has no stretch 5000"):
        opened.branch(5000)


def test_memory_is_given_back_and_everything_is_still_found(
    opened: Exploration,
) -> None:
    """As in a worker: it starts afresh between a stretch and the news that this is a node."""
    tree = Tree(opened.tree.start)
    work = Stretches(tree, opened.open_base, memory=0)
    try:
        for node in opened.tree.nodes[:12]:
            ran = work.run(node.parent, node.seed, opened.head.length)
            assert (ran.end, ran.failure) == (node.end, node.failure)
            work.spare()
            tree.add(node)
            work.learn(node)
        assert work.branch(12).end.at == tree.end(12)
    finally:
        work.close()


def nodes(path: Path) -> list[Node]:
    with Exploration(path) as found:
        assert not found.damage
        return found.tree.nodes


def lines(path: Path) -> int:
    """Stretches on disk; one may be half written."""
    ledger = path / "nodes.jsonl"
    return ledger.read_bytes().count(b"\n") if ledger.exists() else 0


def kill_later(path: Path, wanted: int, stretches: int) -> bool:
    """Explore up to ``wanted``, but kill it when so many stretches are on disk. False: it was done
    before."""
    command = [sys.executable, "-c", EXPLORE, str(LOCK), str(path), str(wanted)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_for(lambda: process.poll() is not None or lines(path) >= stretches)
        workers = workers_of(process.pid)
        process.kill()
        said = process.communicate()[1].decode()
    assert process.returncode in (0, -signal.SIGKILL), said
    wait_for(lambda: not any(map(alive, workers)))
    return process.returncode != 0


def test_an_exploration_killed_at_any_instant_goes_on_as_if_nothing_was(
    tmp_path: Path, opened: Exploration
) -> None:
    """Its stretches are those of one that was never disturbed, and no process is left behind."""
    path, chance, wanted = tmp_path / "killed.bpx", random.Random(5), 60
    kills = 0
    while lines(path) < wanted:
        kills += kill_later(path, wanted, lines(path) + chance.randrange(1, 25))
    assert kills >= 2
    with bp.explore(LOCK, path, stretches=wanted, duration=3600, **ASKED):
        pass
    assert nodes(path)[:wanted] == opened.tree.nodes[:wanted]


def test_it_ends_when_it_takes_too_much_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock.bpx"
    with bp.explore(LOCK, path, stretches=1, **ASKED) as found:
        most = found.size
    for _ in range(2):
        with bp.explore(LOCK, path, duration=3600, disk=most, **ASKED) as found:
            assert len(found.tree) == 100, "so often the disk is looked at, and at the beginning"
            assert found.size > most
        assert f"{most / 1e6:.1f} MB are allowed" in capsys.readouterr().err
    with pytest.raises(bp.BranchpointError, match="disk='much' is no size"):
        bp.explore(LOCK, path, disk="much", **ASKED)


def test_several_processes_explore_together(tmp_path: Path, opened: Exploration) -> None:
    path = tmp_path / "two.bpx"
    with bp.explore(LOCK, path, stretches=60, duration=3600, **{**ASKED, "workers": 2}) as found:
        assert 60 <= len(found.tree) <= 61 and {node.worker for node in found.tree.nodes} == {0, 1}
        parents = {found.tree[node.parent].worker for node in found.tree.nodes if node.parent}
        assert parents == {0, 1}
    with Exploration(path) as again:
        for number in (len(again.tree), 30):
            assert again.branch(number).end.at == again.tree.end(number)


def test_a_worker_that_dies_is_an_error_and_the_exploration_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "dies.bpx"
    command = [sys.executable, "-c", EXPLORE, str(LOCK), str(path), "1000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as process:
        wait_for(lambda: lines(path))
        (worker,) = workers_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        said = process.communicate()[1].decode()
    assert process.returncode == 1 and "worker process 0 has died" in said
    known = len(nodes(path))
    with bp.explore(LOCK, path, stretches=known + 3, duration=3600, **ASKED) as found:
        assert len(found.tree) == known + 3


def test_one_explores_and_others_read(opened: Exploration) -> None:
    with opened.claimed():
        with pytest.raises(bp.RecordingError, match="is being explored already"):
            bp.explore(LOCK, opened.path, stretches=1, **ASKED)
        with Exploration(opened.path) as reader:
            assert len(reader.tree) == len(opened.tree)


def test_what_is_still_open_in_a_notebook_goes_on_when_it_is_called_again(tmp_path: Path) -> None:
    path = tmp_path / "x.bpx"
    with bp.explore(LOCK, path, stretches=2, **ASKED) as first:
        with bp.explore(LOCK, path, stretches=4, **ASKED) as second:
            assert (len(first.tree), len(second.tree)) == (2, 4)
        with pytest.raises(bp.BranchpointError, match=r"length 1\.2 s, not 3 s"):
            bp.explore(LOCK, path, **{**ASKED, "length": 3})


def test_what_is_there_has_to_be_the_same_exploration(opened: Exploration) -> None:
    with pytest.raises(bp.BranchpointError, match="with seed 1, not 2"):
        bp.explore(LOCK, opened.path, **{**ASKED, "seed": 2})
    with pytest.raises(bp.BranchpointError, match="exists and is no exploration"):
        bp.explore(LOCK, opened.path / "findings", **ASKED)


@pytest.mark.long
@pytest.mark.slow
def test_a_finding_is_looked_into_by_itself(tmp_path: Path) -> None:
    """A kill at 12 s, which comes with chance 0.3, decides that a program exits with 1 at 20 s.

    Only stretches that begin before the kill can have it, so there have to be many.
    """
    path = tmp_path / "injected.bpx"
    asked: dict[str, Any] = {"duration": 3600, "length": 25, "depth": 24, "workers": 1}
    with bp.explore(INJECTED, path, stretches=120, **asked) as found:
        finding = next(each for each in found.findings if "exit injected.1 1" in each.kind)
        told = found.triage(finding.number)
    assert told is not None
    assert told.likely[0].startswith("P(unexpected exit) from ")
    assert re.search(r"^P\(failure\) .* at 1[12](\.\d+)? s", told.likely[1])
    assert any("fault.start" in line for line in told.likely[2:])
    assert told.decided == ["without kill of server.1 at 12.000 s the failure does not happen"]
    kept = (path / "findings" / f"{finding.number}.json").read_bytes()
    with bp.explore(INJECTED, path, stretches=120, **asked) as again:  # it is there already
        assert again.triage(finding.number) == told
    assert (path / "findings" / f"{finding.number}.json").read_bytes() == kept


@pytest.mark.long
def test_on_the_command_line_the_status_says_whether_something_was_found(tmp_path: Path) -> None:
    def branchpoint(*arguments: object) -> tuple[int, str]:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        return result.exit_code, result.stdout or result.stderr

    path = tmp_path / "x.bpx"
    asked = ["explore", LOCK, "-o", path, "--length", "1.2s", "--workers", 1, "--stretches", 1]
    status, said = branchpoint(*asked)
    assert status == 0 and "1 stretch," in said and "Nothing was found" in said
    status, said = branchpoint(*asked, "--until", "log:lock:turned")
    assert status == 2 and "failures" in said
    found = tmp_path / "y.bpx"
    status, said = branchpoint(
        "explore",
        ALWAYS,
        "-o",
        found,
        "--length",
        "25s",
        "--stretches",
        20,
        "--workers",
        1,
        "--no-triage",
    )
    assert status == 1 and "unexpected exit: exit always.1 1 (" in said
    assert branchpoint("open", found) == (0, said)
    status, said = branchpoint("open", found, "--finding", 1)
    assert status == 0 and re.search(r"ended +main@20\.0\d+: always.1 container.exit", said)
    assert branchpoint("open", found, "--finding", 3)[0] == 1
    assert json.loads((found / "exploration.json").read_text())["title"] == "always"
