"""Which code is at fault, in programs in which it is known."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest
from places import HERE

import branchpoint as bp
from branchpoint.futures import curves
from branchpoint.futures.attribution import Rate
from branchpoint.futures.culprits.culprits import Culprit
from branchpoint.futures.culprits.sampling import TOLD

SOURCES = HERE / "systems" / "culprits"
FUTURES = 40
START = 0.4  # before anything is drawn
SEEDS = 100  # to try; about every fourth is such that the queue fails and the stock does not
BAD_LUCK = 0.001  # more unlikely than this is no chance, with any guest


def source(name: str, text: str) -> int:
    """The number of the line that has this text."""
    lines = (SOURCES / name).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bp.Recording]:
    """Six seconds of the programs, in which the queue fails and the stock does not.

    queue.c is compiled with debug information. The compiler and the guest decide what a seed does.
    """
    folder = tmp_path_factory.mktemp("culprits") / "system"
    shutil.copytree(SOURCES, folder)
    made = ["cc", "-g", "-O0", "-static", "-o", "queue", "queue.c"]
    subprocess.run(made, cwd=folder, check=True)
    path = folder.parent / "c.branchpoint"
    for seed in range(SEEDS):
        with bp.record(folder, path, seed=seed, duration=6) as made_run:
            exits = made_run.events.where(type="container.exit")
            codes = {each.container: each.fields["code"] for each in exits}
            if (codes["queue.1"], codes["stock.1"]) == ("1", "0"):
                yield made_run
                return
        shutil.rmtree(path)
    pytest.fail(f"the queue alone failed with none of {SEEDS} seeds")


def failing(service: str) -> bp.Failure:
    return bp.failure(exit=f"{service}.1", code=1)


def numbers(row: Culprit) -> list[int | None]:
    return [spot.line for spot in row.spots]


@pytest.mark.long
def test_the_faulty_line_of_a_python_program_is_named(run: bp.Recording) -> None:
    """Together with the line that calls it, which runs in the same futures."""
    found = run.contrast(START, failing("stock"), by="code", futures=FUTURES, horizon=6)
    fault, calls = found.decisive[:2]
    assert {row.spots[0].file for row in (calls, fault)} == {"/srv/stock.py"}
    assert source("stock.py", "    sell_rest_of_pair()") in numbers(calls)
    assert source("stock.py", "FAULT") in numbers(fault)
    assert fault.spots[0].function == "sell_rest_of_pair"
    assert set(fault.spots[0].containers) == {"coin.1", "queue.1", "stock.1"}
    assert (fault.failing, fault.passing) == (fault.failed, 0)
    assert sum(found.drawn) == FUTURES and fault.failed >= 6
    assert (fault.failed, fault.passed) == tuple(min(drawn, TOLD) for drawn in found.drawn)
    assert "sell_rest_of_pair" in repr(found) and "def sell_rest" in found._repr_html_()


def test_the_faulty_line_of_a_program_in_machine_code_comes_first(run: bp.Recording) -> None:
    found = run.contrast(START, failing("queue"), by="code", futures=FUTURES, horizon=6)
    first = found.decisive[0]
    assert first.spots[0].file.endswith("/queue.c")
    assert first.spots[0].function == "drop_oldest"
    assert numbers(first) == [source("queue.c", "FAULT")]
    assert (first.failing, first.passing) == (first.failed, 0)


@pytest.mark.long
def test_where_a_coin_decides_no_code_is_named(run: bp.Recording) -> None:
    found = run.contrast(START, failing("coin"), by="code", futures=FUTURES, horizon=6)
    assert found.contrast.failed >= 3
    assert len({spot.function for row in found.rows for spot in row.spots}) > 4
    assert all(row.chance > BAD_LUCK for row in found.rows)


@pytest.mark.long
def test_a_curve_knows_its_culprits(run: bp.Recording) -> None:
    curve = run.likelihood(failing("stock"), start=START, end=START + 2, points=2, horizon=6)
    found = curve.culprits(START, only="*/stock.py").decisive
    assert source("stock.py", "FAULT") in numbers(found[0])
    assert {spot.file for row in found for spot in row.spots} == {"/srv/stock.py"}


@pytest.mark.long
def test_a_kept_curve_does_not_know_what_failed(run: bp.Recording) -> None:
    run.likelihood(failing("stock"), start=START, end=START + 2, points=2, horizon=6)
    curve = curves.kept(run)[-1]
    with pytest.raises(bp.BranchpointError, match="without what its failure is"):
        curve.culprits()


# -- what if


@pytest.mark.long
def test_a_change_that_takes_the_culprit_away_prevents_the_failure(run: bp.Recording) -> None:
    found = run.what_if(START, failing("queue"), lambda branch: branch.faults.kill("queue.1"))
    assert found.after.failed == 0 < found.before.failed
    assert found.found and found.effect < 0


@pytest.mark.long
def test_a_change_elsewhere_makes_no_difference(run: bp.Recording) -> None:
    def wait_there(branch: bp.Branch) -> None:
        bp.bash("sleep 1").run_in_background(branch, "coin.1")

    found = run.what_if(START, failing("queue"), wait_there, futures=30)
    assert found.before.trials == found.after.trials == 30
    assert found.chance > BAD_LUCK and found.after.failed > 0


@pytest.mark.long
def test_a_change_on_a_branch_is_tried_there(run: bp.Recording) -> None:
    branch = run.at(START).branch(3)
    branch.wait(0.1)
    found = run.what_if(
        branch.end, failing("queue"), lambda branch: branch.faults.kill("queue.1"), futures=FUTURES
    )
    assert found.after == Rate(0, FUTURES) and found.before.failed > 0


@pytest.mark.long
def test_a_change_that_does_nothing_is_refused(run: bp.Recording) -> None:
    with pytest.raises(bp.BranchpointError, match="the change does nothing"):
        run.what_if(START, failing("queue"), lambda branch: None)


# -- in words


@pytest.mark.long
def test_a_failure_is_explained_in_a_few_words(run: bp.Recording) -> None:
    curve = run.likelihood(failing("queue"), points=4, precision=0.25, resolution=1)
    found = run.explain(failing("queue"), curve=curve)
    assert "queue.1 exited with 1" in found.words
    assert "There was no fault before it." in found.words
    assert f"queue.c:{source('queue.c', 'FAULT')} drop_oldest runs in" in found.words
    assert len(found.words.split()) < 150
    assert found.culprits is not None and repr(found.culprits) in repr(found)
    page = found._repr_html_()
    assert page.count("<details>") == 2 and "<img" in page and "drop_oldest" in page
    assert run.explain(failing("queue"), curve=curve).words == found.words


@pytest.mark.long
def test_what_is_not_known_is_said(run: bp.Recording) -> None:
    """It always exits, so no future tells more than the recording."""
    found = run.explain("exit:queue.1")
    assert found.culprits is None
    assert "no turning point" in found.words
    assert "their code cannot be compared" in found.words


def test_what_did_not_happen_is_not_explained(run: bp.Recording) -> None:
    with pytest.raises(bp.BranchpointError, match=r"does not happen in c\.branchpoint"):
        run.explain(failing("stock"))
    with pytest.raises(bp.BranchpointError, match="ended without a failure"):
        run.explain()


@pytest.mark.long
def test_the_command_line_says_the_same(run: bp.Recording) -> None:
    command = [sys.executable, "-m", "branchpoint.cli", "explain", run.path, "exit:queue.1"]
    said = subprocess.run([*command, "--short"], capture_output=True, text=True, check=True)
    assert said.stdout.split() == run.explain("exit:queue.1").words.split()
