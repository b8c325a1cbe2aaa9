"""Commands that write without end: the kernel keeps the beginning and the end."""

from __future__ import annotations

import os
import re
import signal
import threading

import pytest

import branchpoint as bp
from branchpoint import bash
from branchpoint.timeline.commands.bounding import CUT

pytestmark = pytest.mark.long

LINES = 60_000


def test_what_is_left_out_is_counted_and_the_branch_is_exact(idle: bp.Recording) -> None:
    branch = idle.at(1).branch()
    process = bash(f"seq {LINES}; echo done >&2; exit 3").run(branch)
    assert process.exit_code == 3
    first, said, last = re.fullmatch(
        r"(.*\n)… (\d+ lines, \d+ bytes), are left out …\n(.*)", process.output, re.DOTALL
    ).groups()  # type: ignore[union-attr]
    head, tail = first.split(), last.split()
    count = int(said.split()[0])
    assert head == [str(n) for n in range(1, len(head) + 1)]
    assert tail == [*(str(n) for n in range(len(head) + count + 1, LINES + 1)), "done"]
    assert process.stderr.endswith("done\n") and "done" not in process.stdout
    assert len(branch.events.where(type=CUT)) == 1
    assert len(branch.events) < LINES
    branch.check()
    middle = branch.end.rewind(0.001).branch()  # it runs to where much was left out
    assert bash("echo here").run(middle).output == "here\n"
    middle.check()


def test_stop_says_that_it_still_runs_and_how_to_end_it(idle: bp.Recording) -> None:
    branch = idle.at(1).branch()
    press = threading.Timer(3, os.kill, (os.getpid(), signal.SIGINT))
    press.start()
    with pytest.raises(KeyboardInterrupt) as stop:
        bash("yes").run(branch)
    press.join()
    (note,) = [note for note in stop.value.__notes__ if "still runs" in note]
    assert len(branch.events.where(source="process")) < 2 * LINES
    exec(note.partition("to end it: ")[2], {"branch": branch})
    ended = branch.wait_until("event:process.exit", cap=5)
    assert ended is not None and ended.fields["signal"] == "9"
