"""Cells that run other cells, by ``get_ipython().run_cell(...)`` for example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from branchpoint.notebook.aside import on_main


def _nothing(_: Any) -> None: ...


def watch(
    shell: Any,
    *,
    begin: Callable[[Any], None] = _nothing,
    end: Callable[[Any], None] = _nothing,
) -> None:
    """Call ``begin(info)`` before each cell and ``end(result)`` after it, as the events of IPython
    do, but not for cells that a cell of the main thread runs.
    """
    outer: Any = None  # IPython's info about the cell of the main thread
    request = ""  # what asked for that cell

    def began(info: Any) -> None:
        nonlocal outer, request
        if on_main():
            now = (shell.kernel.get_parent("shell") or {}).get("header", {}).get("msg_id", "")
            # Another request is another cell, even if the end of the one before was never told.
            if outer is not None and now == request:
                return
            outer, request = info, now
        begin(info)

    def ended(result: Any) -> None:
        nonlocal outer
        if on_main():
            # Of an empty cell, IPython tells only the end.
            if result is not None and result.info is not outer:
                return
            outer = None
        end(result)

    shell.events.register("pre_run_cell", began)
    shell.events.register("post_run_cell", ended)
