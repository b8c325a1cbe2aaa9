"""Interactive views and short remarks, independent of who draws or prints them.

What can be looked at (events, recordings, packets) asks for a view by its kind; the layer that
draws views provides them with :func:`use`. What is chosen in a view is told to whoever asked
:func:`when_chosen`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from branchpoint.errors import BranchpointError

_views: dict[str, Callable[..., Any]] = {}
_told: list[Callable[[Any], None]] = []


def use(kind: str, view: Callable[..., Any]) -> None:
    """Let ``view(subject, **options)`` draw what is asked for as ``kind``."""
    _views[kind] = view


def show(kind: str, subject: Any, **options: Any) -> Any:
    """The view of ``subject``, to be displayed by whoever asked.

    :raises BranchpointError: when nothing draws views of that kind.
    """
    view = _views.get(kind)
    if view is None:
        raise BranchpointError(f"there is no view {kind!r}", "import branchpoint draws them all")
    return view(subject, **options)


def say(remark: str) -> None:
    """Tell the user something that is no error and no result, in one line."""
    _say(remark)


def say_by(how: Callable[[str], None]) -> None:
    """Have ``how(remark)`` called for all later remarks; without it, only a terminal gets them."""
    global _say
    _say = how


def _at_terminal(remark: str) -> None:
    if sys.stderr.isatty():
        print(remark, file=sys.stderr)


_say = _at_terminal


def when_chosen(tell: Callable[[Any], None]) -> None:
    """Have ``tell(moment)`` called whenever a moment is chosen in a view."""
    _told.append(tell)


def chosen(moment: Any) -> None:
    """A moment was chosen in a view."""
    for tell in _told:
        tell(moment)
