"""How a worker process is started and ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import branchpoint.errors

_SAID = 2000  # bytes of a process' last words


class WorkerProcess:
    """A process that works for this one: ``python -m MODULE FD``.

    It lives in a session of its own, so that a Ctrl-C meant for the user's program does not reach
    it, and finds this package and what PYTHONPATH names.
    """

    def __init__(self, module: str, fd: int) -> None:
        """``fd`` is its end of the connection."""
        self._said = os.fdopen(os.memfd_create("branchpoint-worker"), "r+b")
        self._words = ""
        code = Path(branchpoint.errors.__file__).parents[1]
        paths = [str(code), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(fd)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            pass_fds=[fd],
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it, and its emulator with it, without waiting."""
        self._process.kill()

    def end(self) -> str:
        """End it, and give the end of what it wrote, in words that go on from an error."""
        self.kill()
        self._process.wait()
        if not self._said.closed:
            with self._said as said:
                said.seek(0)
                words = said.read()[-_SAID:].decode(errors="replace").strip()
            self._words = f"; it said:\n{words}" if words else ""
        return self._words
