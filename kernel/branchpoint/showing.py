"""Interactive views and short remarks, independent of who draws or prints them.

Things with a view (events, recordings, packets) ask for it by its kind; the layer that draws views
registers them with :func:`use`. When a moment is chosen in a view, all functions that were given to
:func:`when_chosen` are called with it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from branchpoint.errors import BranchpointError

_views: dict[str, Callable[..., Any]] = {}
_told: list[Callable[[Any], None]] = []


def use(kind: str, view: Callable[..., Any]) -> None:
    """Use ``view(subject, **options)`` for views of this ``kind``."""
    _views[kind] = view


def show(kind: str, subject: Any, **options: Any) -> Any:
    """The view of ``subject``; the caller displays it.

    :raises BranchpointError: when nothing draws views of that kind.
    """
    view = _views.get(kind)
    if view is None:
        raise BranchpointError(f"there is no view {kind!r}", "import branchpoint first")
    return view(subject, **options)


def say(remark: str, *, always: bool = False) -> None:
    """Tell the user, in one line, something that is neither an error nor a result.

    Outside of notebooks it is written to stderr, if that is a terminal; ``always``: also else.
    """
    if _say is not None:
        _say(remark)
    elif always or sys.stderr.isatty():
        print(remark, file=sys.stderr)


def say_by(how: Callable[[str], None]) -> None:
    """Call ``how(remark)`` for all later remarks."""
    global _say
    _say = how


_say: Callable[[str], None] | None = None


def when_chosen(tell: Callable[[Any], None]) -> None:
    """Call ``tell(moment)`` whenever a moment is chosen in a view."""
    _told.append(tell)


def chosen(moment: Any) -> None:
    """Report that a moment was chosen in a view."""
    for tell in _told:
        tell(moment)
