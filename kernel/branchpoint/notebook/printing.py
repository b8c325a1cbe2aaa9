"""``print(process)`` of a running command also shows what it writes later in the same cell.

So one cell can start a capture, print it, and let time pass::

    print(bash`tcpdump -nn -X tcp`.run_in_background({branch, container}))
    branch.wait(5)
"""

from __future__ import annotations

import builtins
from typing import Any

from branchpoint import showing
from branchpoint.events.excerpt import excerpt
from branchpoint.notebook import nesting
from branchpoint.notebook.aside import on_main
from branchpoint.timeline.commands.process import Process

_followed: dict[Process, int] = {}  # how many lines of each process were printed


def install(shell: Any) -> None:
    """At the end of each cell, print the rest of what its printed processes wrote."""
    nesting.watch(shell, end=_finish)


def print(
    *values: Any, sep: str = " ", end: str = "\n", file: Any = None, flush: bool = False
) -> None:
    """Python's print, with one addition: a printed process that still runs is followed to the end
    of the cell. Only head and tail of a long output are printed; ``print(process.output)`` prints
    everything.
    """
    process = values[0] if len(values) == 1 and file is None else None
    if isinstance(process, Process):
        _followed.pop(process, None)  # all of it is printed now
        output, count = process.dated()
        if process.running:
            _followed[process] = count
            builtins.print(excerpt(output), end="", flush=flush)
            return
        values = (excerpt(output).removesuffix("\n"),)
    builtins.print(*values, sep=sep, end=end, file=file, flush=flush)
    if isinstance(process, Process) and process.remark:
        showing.say(process.remark)


def _finish(_: Any) -> None:
    if not on_main():  # a cell in a subshell ended; the one that follows processes still runs
        return
    followed = dict(_followed)
    _followed.clear()
    for process, printed in followed.items():
        builtins.print(excerpt(process.dated(printed)[0]), end="")
        if process.remark:
            showing.say(process.remark)
