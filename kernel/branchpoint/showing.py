"""Interactive views, independent of who draws them.

What can be looked at (events, recordings, packets) asks for a view by its kind; the layer that
draws views provides them with :func:`use`. What is chosen in a view is told to whoever asked
:func:`when_chosen`.
"""

from __future__ import annotations

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


def when_chosen(tell: Callable[[Any], None]) -> None:
    """Have ``tell(moment)`` called whenever a moment is chosen in a view."""
    _told.append(tell)


def chosen(moment: Any) -> None:
    """A moment was chosen in a view."""
    for tell in _told:
        tell(moment)
