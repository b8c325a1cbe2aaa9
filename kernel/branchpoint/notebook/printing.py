"""``print(process)`` of a command that still runs also shows what it writes later in the cell.

So that one cell can start a capture, print it, and let time pass::

    print(bash`tcpdump -nn -X tcp`.run_in_background({branch, container}))
    branch.wait(5)
"""

from __future__ import annotations

import builtins
from typing import Any

from branchpoint import showing
from branchpoint.notebook.aside import on_main
from branchpoint.timeline.process import Process

_SHOWN = 20_000  # characters that a process adds to a cell by itself

_followed: dict[Process, int] = {}  # how many characters of its output were printed


def install(shell: Any) -> None:
    """Print what followed processes wrote, at the end of each cell."""
    shell.events.register("post_run_cell", _finish)


def print(
    *values: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False
) -> None:
    """Python's print. A process that is still running is followed to the end of the cell."""
    process = values[0] if len(values) == 1 and file is None else None
    if isinstance(process, Process):
        _followed.pop(process, None)  # all of it is printed now
        if process.running:
            output = process.output
            _followed[process] = len(output)
            builtins.print(output, end="", flush=flush)
            return
    builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
    if isinstance(process, Process) and process.remark:
        showing.say(process.remark)


def _finish(_: Any) -> None:
    if not on_main():  # the cell that follows them goes on
        return
    followed = dict(_followed)
    _followed.clear()
    for process, printed in followed.items():
        new = process.output[printed:]
        shown = new if len(new) <= _SHOWN else new[: new.rfind("\n", 0, _SHOWN) + 1]
        builtins.print(shown, end="")
        if len(shown) < len(new):
            lines = new.count("\n", len(shown))
            builtins.print(f"… and {lines} more lines, in the process's .output")
        if process.remark:
            showing.say(process.remark)
