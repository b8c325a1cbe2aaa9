"""The emulators of a recording that is opened more than once."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import alive, emulators_of, wait_for

import branchpoint as bp

OTHER = """
import sys
import branchpoint as bp
run = bp.open(sys.argv[1])
branch = run.at(2).branch()
bp.bash("echo kept > /srv/kept").run(branch, "server.1")
print(branch.id, run.warnings)
"""
CELL = "run = bp.open({path!r})\nbranch = run.at({second}).branch()\nrun"
MOST = 2  # emulators kept per recording


@pytest.fixture
def path(small_path: Path, copy_of: Callable[[Path], Path]) -> Path:
    """A recording that nobody else has open."""
    return copy_of(small_path)


def mine(before: list[int]) -> list[int]:
    """The emulators that this process has started since then."""
    return [pid for pid in emulators_of(os.getpid()) if pid not in before and alive(pid)]


def test_a_function_that_opens_it_for_itself_leaves_its_callers_running(path: Path) -> None:
    before = emulators_of(os.getpid())

    def hostname() -> str:
        with bp.open(path) as run:
            return str(bp.bash("hostname").run(run.at(1).branch(), "server.1").output)

    with bp.open(path) as run:
        branch = run.at(2).branch()
        first = bp.bash("hostname").run(branch, "server.1").output
        assert hostname() == first
        assert 0 < len(mine(before)) <= MOST, "both work with the same emulators"
        assert bp.bash("hostname").run(branch, "server.1").output == first
    assert mine(before) == []


def test_what_another_process_has_done_meanwhile_is_known_by_its_id(path: Path) -> None:
    """Two notebooks with one recording: neither loses its branches."""
    with bp.open(path) as run:
        mine = run.at(1).branch()
        bp.bash("echo mine > /srv/mine").run(mine, "server.1")
        said = subprocess.run(
            [sys.executable, "-c", OTHER, str(path)], capture_output=True, text=True, check=True
        )
        id_, warnings = said.stdout.split(maxsplit=1)
        assert warnings.strip() == "[]"
        theirs = run.at(id_).branch()
        assert bp.bash("cat /srv/kept").run(theirs, "server.1").output == "kept\n"
        ids = [mine.id, id_]
    with bp.open(path) as later:
        for id_, file in zip(ids, ("mine", "kept"), strict=True):
            branch = later.at(id_).branch()
            assert bp.bash(f"cat /srv/{file}").run(branch, "server.1").output == f"{file}\n"


def test_a_cell_that_is_run_again_leaks_no_emulator(path: Path) -> None:
    before = emulators_of(os.getpid())
    names: dict[str, object] = {"bp": bp}
    kept = []
    for second in range(8):
        exec(CELL.format(path=str(path), second=second / 2), names)
        kept.append(names["run"])  # IPython also keeps the values that cells have shown
        names["branch"].wait(0.1)  # type: ignore[attr-defined]
        assert 0 < len(mine(before)) <= MOST
    names.clear()
    kept.clear()
    gc.collect()
    wait_for(lambda: not mine(before))
