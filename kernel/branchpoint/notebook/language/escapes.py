"""Shell escapes tell where they ran: ``!command`` runs on this computer, not in a branch."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.utils.text import DollarFormatter

NOTICE = "(this ran on your computer, not in a branch; in a branch: bash`…`.run(branch, container))"
_PACKAGES = "IPython.core.magics.packaging"  # %pip etc., which are meant for this computer
_VARIABLES = DollarFormatter()


class Shell(ZMQInteractiveShell):
    """IPython's shell, which prints a notice after ``!command``, ``x = !command``, ``%sx`` and
    ``%ls``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._between = threading.local()
        super().__init__(*args, **options)

    def system_piped(self, cmd: str) -> None:
        self._telling(super().system_piped, cmd)

    system = system_piped

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        return self._telling(super().getoutput, cmd, split, depth)

    def _telling(self, run: Callable[..., Any], *args: Any) -> Any:
        self._between.frames = 2  # this frame and its caller's
        try:
            return run(*args)
        finally:
            self._between.frames = 0
            if sys._getframe(2).f_globals.get("__name__") != _PACKAGES:
                print(NOTICE, file=sys.stderr)

    def var_expand(self, cmd: str, depth: int = 0, formatter: DollarFormatter = _VARIABLES) -> str:
        """As in IPython, which looks for variables ``depth`` frames up; ours are added to it."""
        ours = 1 + getattr(self._between, "frames", 0)
        expanded: str = super().var_expand(cmd, depth + ours, formatter)
        return expanded
