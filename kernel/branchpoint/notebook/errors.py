"""How our errors and an interrupt by the user look in a notebook: short, without our own code."""

from __future__ import annotations

import asyncio
import difflib
from types import ModuleType, TracebackType
from typing import Any

from branchpoint.errors import BranchpointError
from branchpoint.notebook.language import typed

_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"
_WIDTH = 100  # characters of a line of code
_OURS = (BranchpointError, KeyboardInterrupt, asyncio.CancelledError, NameError, AttributeError)


def install(shell: Any) -> None:
    """Make ``shell`` show our errors by :func:`describe` instead of a traceback."""

    def again(_: Any) -> None:
        # IPython forgets a handler in which anything fails.
        if not shell.custom_exceptions:
            shell.set_custom_exc(_OURS, _show)

    again(None)
    shell.events.register("pre_run_cell", again)


def _show(shell: Any, kind: type, error: BaseException, trace: Any, tb_offset: Any = None) -> None:
    try:
        _show_all(shell, kind, error, trace)
    except KeyboardInterrupt:
        # Stop came once more before all was shown.
        shell._showtraceback(kind, error, [_head(error)])


def _show_all(shell: Any, kind: type, error: BaseException, trace: Any) -> None:
    if isinstance(error, NameError | AttributeError):
        ours = bool(hint(error, trace))
    else:
        ours = isinstance(error, BranchpointError) or bool(notes(error)) or _in_our_code(trace)
    if ours:
        shell._get_exc_info((kind, error, trace))  # now %tb and %debug mean this error
        shell._showtraceback(kind, error, describe(shell, error, trace))
    else:
        # An error in the user's own code, or the user stopped it: a traceback shows where it was.
        shell.showtraceback((kind, error, trace))


def hint(error: BaseException, trace: TracebackType | None) -> str:
    """What an unknown name probably means, when we know more than Python does; otherwise ""."""
    if isinstance(error, NameError):
        return typed.advice(error, trace)
    if not isinstance(error, AttributeError) or not error.name:
        return ""
    thing: Any = error.obj
    if isinstance(thing, ModuleType):
        home = thing.__name__
    else:
        home = (thing if isinstance(thing, type) else type(thing)).__module__
    if not isinstance(home, str) or home.partition(".")[0] != "branchpoint":
        return ""  # before anything of it is looked at: a user's class may do what it likes
    if isinstance(thing, ModuleType):
        known = getattr(thing, "__all__", dir(thing))
    else:
        known = [name for name in dir(thing) if not name.startswith("_")]
    close = difflib.get_close_matches(error.name, known, n=1, cutoff=0.6)
    return f"did you mean .{close[0]}?" if close else f"it has: {', '.join(known)}"


def notes(error: BaseException) -> list[str]:
    """The notes that our code added to an exception that passed through it (PEP 678)."""
    return list(getattr(error, "__notes__", ()))


def describe(shell: Any, error: BaseException, trace: TracebackType | None) -> list[str]:
    """The lines to show: what happened, what to do about it, and in which lines of cells."""
    if isinstance(error, BranchpointError):
        head = _head(error)
    elif better := hint(error, trace):
        head = f"{_head(error)}\n  → {better}"
    else:
        head = f"{_BOLD}Stopped{_PLAIN}"
        if not notes(error):
            head += ": everything can be used as it is now"
    return [head, *notes(error), *_cell_lines(shell, trace)]


def _head(error: BaseException) -> str:
    return f"{_RED}{type(error).__name__}{_PLAIN}: {error}"


def _in_our_code(trace: TracebackType | None) -> bool:
    """Whether the exception came through a frame of this package."""
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("branchpoint."):
            return True
        trace = trace.tb_next
    return False


def _cell_lines(shell: Any, trace: TracebackType | None) -> list[str]:
    """``In[3], line 2: branch.wait(5)`` for each frame in a cell, outermost first."""
    found: list[str] = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        cell = shell.compile.format_code_name(file)
        if cell is not None:
            text = "".join(typed.lines_of(file)[trace.tb_lineno - 1 : trace.tb_lineno]).strip()
            text = text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
            found.append(f"  {cell[1]}, line {trace.tb_lineno}: {text}")
        trace = trace.tb_next
    return found
