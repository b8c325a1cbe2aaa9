"""What code ran can be told, and telling it changes nothing in any history."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType

import pytest
from busy import BUSY

import branchpoint as bp
from branchpoint.machine.watching.ran import Covered
from branchpoint.programs.python import Line, interpreters, lines
from branchpoint.soak import soak, subject_of

MS = 1_000_000
COVERED = Covered()
LISTED = "ls /usr/lib; du /etc"


@pytest.fixture
def covered(small_path: Path, copy_of: Callable[[Path], Path]) -> Callable[[], bp.Recording]:
    """Opens a recording whose computers tell what code ran."""
    path = copy_of(small_path)

    def opened() -> bp.Recording:
        run = bp.open(path)
        run.replayer.cover(COVERED)
        return run

    return opened


def told(run: bp.Recording, script: str, at: float = 2) -> set[int]:
    """The code that runs in a quarter of a virtual second with this command in it."""
    branch = run.at(at).branch(3)
    bp.bash(script).run_in_background(branch, "server")
    run.replayer.play(branch._history, branch.end.at + 250 * MS)
    return set(run.replayer.ran.places.tolist())


def digest(branch: bp.Branch) -> str:
    replayer, history = branch.run.replayer, branch._history
    return replayer.bring(history, history.tip).computer.digest().hex()


@pytest.mark.long
def test_a_computer_that_tells_is_in_the_same_states(
    small: bp.Recording, covered: Callable[[], bp.Recording]
) -> None:
    """All that is recorded, and a branch with a command in it."""
    expected = small.at(1).branch(5)
    bp.bash(LISTED).run(expected, "server")
    expected.wait(2)
    with covered() as run:
        run.at(1).branch().wait(0.1)  # it is not the first computer of this recording
        run.replayer.cover(COVERED)
        assert bp.verify(run).states > 0
        branch = run.at(1).branch(5)
        bp.bash(LISTED).run(branch, "server")
        branch.wait(2)
        assert len(run.replayer.ran.places) > 500
        assert digest(branch) == digest(expected)


@pytest.mark.parametrize("step", [7 * MS, 1_234_567])
def test_it_does_not_depend_on_where_the_emulator_is_stopped(
    covered: Callable[[], bp.Recording], step: int
) -> None:
    with covered() as run:
        whole = told(run, LISTED)
        branch = run.at(2).branch(3)
        bp.bash(LISTED).run_in_background(branch, "server")
        player = run.replayer.bring(branch._history, branch._history.tip)
        with player.computer.watching() as watchers:
            watchers.begin()
        begin = player.place.at
        for instant in (*range(begin + step, begin + 250 * MS, step), begin + 250 * MS):
            player.run_to(instant)
            player.computer.digest()
        assert set(watchers.take().places.tolist()) == whole
        player.close()


def test_it_does_not_depend_on_what_ran_before(covered: Callable[[], bp.Recording]) -> None:
    with covered() as run:
        first = told(run, LISTED)
        assert len(first) > 500
    with covered() as run:
        for at in (0.5, 1, 3):
            told(run, "cat /srv/greeting | busybox sort", at)
        assert told(run, LISTED) == first


def test_other_programs_are_other_places(covered: Callable[[], bp.Recording]) -> None:
    with covered() as run:
        listed, sorted_ = told(run, LISTED), told(run, "busybox sort /srv/greeting")
        assert len(listed - sorted_) > 100 and len(sorted_ - listed) > 100


@pytest.mark.long
def test_replays_under_the_worst_conditions_are_identical(small: bp.Recording) -> None:
    subject = subject_of(small, 3)
    telling = replace(subject, start=functools.partial(subject.start, covered=COVERED))
    report = soak(telling, 20, busy=BUSY)
    assert (report.replays, report.divergences) == (20, [])


# -- Python programs, line by line

SCRIPT = """\
import json

def even(number):
    if number % 2:
        return False
    return True

class Pair:
    def __init__(self, first):
        self.first = first

    def never(self):
        return self

found = [number for number in range(5) if even(number)]
try:
    json.loads("{")
except ValueError:
    found.append(Pair(1).first)
while found:
    found.pop()
"""
UNREACHED = {13}
"""The only line of the script that does not run."""


def all_code(run: bp.Recording) -> Covered:
    """What there is to be told of a recording: its Pythons' byte code, too."""
    return Covered(interpreters(run.replayer.snapshot.spec.modules[-1]))


@pytest.fixture
def telling(failing_aria: Path, copy_of: Callable[[Path], Path]) -> Iterator[bp.Recording]:
    """A recording of Python programs, whose computers tell their byte code."""
    with bp.open(copy_of(failing_aria)) as run:
        run.replayer.cover(all_code(run))
        yield run


def run_script(run: bp.Recording) -> bp.Branch:
    branch = run.at(3).branch(7)
    program = f'exec(compile({SCRIPT!r}, "script.py", "exec"))'
    command = f"python3 -SEc {shlex.quote(program)}"
    bp.bash(command).run_in_background(branch, "primary.archive.1")
    return branch


def test_each_line_of_a_python_program_that_runs_is_told_and_no_other(
    telling: bp.Recording,
) -> None:
    branch = run_script(telling)
    telling.replayer.play(branch._history, branch.end.at + 500 * MS)
    told = lines(telling.replayer.ran.bytecode)
    mine = {line.line for line in told if line.file == "script.py"}
    with_code = {line for _, _, line in all_lines(compile(SCRIPT, "script.py", "exec"))}
    assert mine == with_code - UNREACHED
    assert {line.function for line in told if line.file == "script.py"} >= {"even", "Pair.__init__"}
    bodies = {line.function for line in told if line.file == "script.py" and line.body}
    assert bodies == {"<module>", "Pair"}
    others = {line.file.rpartition("/")[2] for line in told}
    assert {"retransmitter.py", "decoder.py", "ring.py"} <= others  # what runs beside is told, too


def test_code_in_memory_that_other_code_had_before_is_told(telling: bp.Recording) -> None:
    """A module's body ends, and the next one's code, or a function's, gets its memory: as when a
    program that was killed starts again.
    """
    branch = telling.at(3).branch(7)
    program = """\
body = "def function():\\n    return 1\\nfunction()\\n"
for i in range(100):
    exec(compile("\\n" * i + body, f"body{i}.py", "exec"))
"""
    command = f"python3 -SEc {shlex.quote(program)}"
    bp.bash(command).run_in_background(branch, "primary.archive.1")
    telling.replayer.play(branch._history, branch.end.at + 500 * MS)
    told = {(line.file, line.line) for line in lines(telling.replayer.ran.bytecode)}
    mine = {(file, line) for file, line in told if file.startswith("body")}
    assert mine == {(f"body{i}.py", i + line) for i in range(100) for line in (1, 2, 3)}


@pytest.mark.long
def test_more_code_than_can_be_told_is_left_out_and_said(telling: bp.Recording) -> None:
    """Each place in memory is told again whenever other code has come there, without end."""
    branch = telling.at(3).branch(7)
    program = """\
body = "def function():\\n    return 1\\nfunction()\\n"
codes = [compile("\\n" * i + body, f"body{i}.py", "exec") for i in range(2)]
import marshal
codes = [marshal.dumps(code) for code in codes]
for i in range(200000):
    exec(marshal.loads(codes[i % 2]))
"""
    command = f"python3 -SEc {shlex.quote(program)}"
    bp.bash(command).run_in_background(branch, "primary.archive.1")
    telling.replayer.play(branch._history, branch.end.at + 12_000 * MS)
    ran = telling.replayer.ran
    assert ran.untold and ran.bytecode
    telling.replayer.play(telling.at(4).branch(8)._history, telling.at(4).at + 100 * MS)
    assert not telling.replayer.ran.untold, "another run has nothing left out"


def all_lines(code: CodeType) -> Iterator[tuple[int, int, int]]:
    """The lines that a code object and those in it have."""
    yield from (each for each in code.co_lines() if each[2])
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from all_lines(inner)


@pytest.mark.parametrize("step", [7 * MS, 1_234_567])
def test_lines_do_not_depend_on_where_the_emulator_is_stopped(
    telling: bp.Recording, step: int
) -> None:
    branch = run_script(telling)
    begin = branch.end.at
    telling.replayer.play(branch._history, begin + 250 * MS)
    whole = lines(telling.replayer.ran.bytecode)
    expected = digest(branch)
    branch = run_script(telling)
    player = telling.replayer.bring(branch._history, branch._history.tip)
    with player.computer.watching() as watchers:
        watchers.begin()
    told: dict[Line, None] = {}
    for instant in (*range(begin + step, begin + 250 * MS, step), begin + 250 * MS):
        player.run_to(instant)
        told.update(dict.fromkeys(lines(watchers.take().bytecode)))
    assert [*told] == whole and len(whole) > 200
    assert player.computer.digest().hex() == expected
    player.close()


@pytest.mark.long
def test_a_computer_that_tells_byte_code_is_in_the_same_states(telling: bp.Recording) -> None:
    assert bp.verify(telling).states > 3


@pytest.mark.long
def test_replays_that_tell_byte_code_are_identical_under_the_worst_conditions(
    telling: bp.Recording,
) -> None:
    subject = subject_of(telling, 3)
    start = functools.partial(subject.start, covered=all_code(telling))
    report = soak(replace(subject, start=start), 10, busy=BUSY)
    assert (report.replays, report.divergences) == (10, [])
