"""How our errors and the user's own Stop look in a notebook: short, and without our insides."""

from __future__ import annotations

import asyncio
import linecache
from types import TracebackType
from typing import Any

from branchpoint.errors import BranchpointError

_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"
_WIDTH = 100  # characters of a line of code


def install(shell: Any) -> None:
    """Make ``shell`` show our errors by :func:`describe` instead of a traceback."""
    shell.set_custom_exc((BranchpointError, KeyboardInterrupt, asyncio.CancelledError), _show)


def _show(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: Any = None) -> None:
    if isinstance(error, BranchpointError) or notes(error) or _in_our_code(trace):
        shell._showtraceback(kind, error, describe(shell, error, trace))
    else:
        # The user stopped code of his own: where it was is what he wants to know.
        shell.showtraceback((kind, error, trace))


def notes(error: BaseException) -> list[str]:
    """What the timeline added to an exception that passed through it (PEP 678)."""
    return list(getattr(error, "__notes__", ()))


def describe(shell: Any, error: BaseException, trace: TracebackType | None) -> list[str]:
    """The lines to show: what happened, what to do about it, and the lines of cells it was in."""
    if isinstance(error, BranchpointError):
        head = f"{_RED}{type(error).__name__}{_PLAIN}: {error}"
    else:
        head = f"{_BOLD}Stopped{_PLAIN}"
        if not notes(error):
            head += ": everything can be used, as far as it had come"
    return [head, *notes(error), *_cell_lines(shell, trace)]


def _in_our_code(trace: TracebackType | None) -> bool:
    """Whether the exception came through a frame of this package."""
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("branchpoint."):
            return True
        trace = trace.tb_next
    return False


def _cell_lines(shell: Any, trace: TracebackType | None) -> list[str]:
    """``In[3], line 2: branch.wait(5)`` for every frame that is a cell's, outermost first."""
    found: list[str] = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        cell = shell.compile.format_code_name(file)
        if cell is not None:
            # What ran, not what was typed: a template is seen here as the call that it stands for.
            text = linecache.getline(file, trace.tb_lineno).strip()
            text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
            found.append(f"  {cell[1]}, line {trace.tb_lineno}: {text}")
        trace = trace.tb_next
    return found
