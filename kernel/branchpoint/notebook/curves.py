"""Curves in a notebook: one picture, which is redrawn in place as more futures are run."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from branchpoint.futures import live
from branchpoint.futures.curve import Curve
from branchpoint.notebook import nesting
from branchpoint.notebook.aside import on_main


class CurveDisplay:
    """Shows the curves that cells draw.

    A cell that draws a curve and ends with it shows it once, not twice. The same holds for a cell
    that attaches to a job which has drawn the curve.
    """

    def __init__(self, shell: Any, mirrored: Callable[[dict[str, Any]], bool]) -> None:
        """``mirrored(data)`` tells whether the running cell already shows ``data`` as a part of a
        job's output.
        """
        self._shell = shell
        self._mirrored = mirrored
        self._numbers = itertools.count(1)
        self._shown: dict[int, Any] = {}  # curves that the running cell shows, by id()

    def begin(self) -> live.Screen:
        """A new picture below the cell's output so far; see :func:`live.use`."""
        name = f"curve-{id(self)}-{next(self._numbers)}"  # is not stored in notebooks
        first = True

        def show(curve: Curve) -> None:
            nonlocal first
            self._publish(curve, {"display_id": name}, update=not first)
            first = False
            self._shown[id(curve)] = curve

        return show

    def show(self, curve: Curve) -> None:
        """Show a curve that a cell ends with or displays, unless the cell shows it already."""
        if self._shown.get(id(curve)) is curve or self._mirrored(curve._repr_mimebundle_()[0]):
            return
        self._publish(curve, {}, update=False)

    def forget(self, *_: Any) -> None:
        """Forget what was shown: a new cell begins."""
        if on_main():
            self._shown.clear()

    def _publish(self, curve: Curve, transient: dict[str, str], *, update: bool) -> None:
        data, metadata = curve._repr_mimebundle_()
        self._shell.display_pub.publish(data, metadata, transient=transient, update=update)


def install(shell: Any, mirrored: Callable[[dict[str, Any]], bool]) -> None:
    """Show curves while they are drawn, in the cells of this shell; see :class:`CurveDisplay`."""
    display = CurveDisplay(shell, mirrored)
    shell.display_formatter.ipython_display_formatter.for_type(Curve, display.show)
    nesting.watch(shell, begin=display.forget)
    live.use(display.begin)
