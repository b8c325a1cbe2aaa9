"""The walls around an emulator: its own namespaces, files that cannot grow, and an end by kill.

The outer walls are built by ``launcher.c``, before QEMU starts. The inner ones are put up by QEMU
itself, in our plugin (``timekeeper/confine.c``): once all is set up, and before the guest runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import re
import select
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from branchpoint.errors import MachineError
from branchpoint.machine import engine

_LAUNCHER = Path(__file__).with_name("launcher.c")
_NAMESPACES = {"user": "user", "mnt": "mount", "net": "network", "pid": "PID", "ipc": "IPC"}
_SEALS = fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


class Emulator:
    """A process between walls, a child of ours.

    It sees the whole file system, but read-only, and no process but itself; it has no network.
    Where the kernel does not let an ordinary user make namespaces, it is without them.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)
        self._owner = os.getpid()
        self._status: int | None = None

    def wait(self, seconds: float | None = None) -> int | None:
        """How it ended, as :mod:`subprocess` says it; None when it has not in that time."""
        if self._handle < 0:
            return self._status
        ready = select.poll()
        ready.register(self._handle, select.POLLIN)
        if not ready.poll(None if seconds is None else seconds * 1000):
            return None
        with contextlib.suppress(ChildProcessError):  # somebody waited for any child
            self._status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._handle)
        self._handle = -1
        return self._status

    def kill(self) -> None:
        """End it at once, and wait until it is gone. Safe to call twice, and after a fork."""
        if self._handle < 0 or os.getpid() != self._owner:
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)
        self.wait()


def start(command: Iterable[str], fds: Iterable[int], said: int) -> Emulator:
    """Start a program, by its whole path, between walls.

    It has the descriptors ``fds``, and ``said`` as its standard error. As root, it is run as
    nobody. Raises MachineError when it cannot be started.
    """
    with subprocess.Popen(
        [launcher(), *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=said,
        pass_fds=list(fds),
        start_new_session=True,
        env={},
        cwd="/",
    ) as process:
        assert process.stdout is not None
        answer = bytearray()
        try:
            _read_all(process.stdout.fileno(), answer)
        except BaseException:
            _read_all(process.stdout.fileno(), answer)
            if started := re.search(rb"started (\d+)", answer):
                Emulator(int(started[1])).kill()
            raise
    started = re.search(rb"started (\d+)", answer)
    failed = re.search(r"failed (.*)", answer.decode(errors="replace"))
    emulator = Emulator(int(started[1])) if started else None
    if emulator is None or failed:
        if emulator is not None:
            emulator.kill()
        why = failed[1] if failed else "its launcher died"
        raise MachineError(f"the emulator could not be started: {why}")
    return emulator


def _read_all(fd: int, answer: bytearray) -> None:
    while piece := os.read(fd, select.PIPE_BUF):
        answer += piece


def ending(status: int | None) -> str:
    """What became of an emulator, from what :meth:`Emulator.wait` said."""
    if status is None:
        return "stopped answering"
    if status == -signal.SIGSYS:
        return "was ended by its sandbox: it made a call to the kernel that it never needs"
    return f"ended with status {status}"


@functools.cache
def launcher() -> Path:
    """The program that builds the outer walls, compiled if needed. Raises SetupError."""
    return engine.compiled("launcher", [_LAUNCHER], ["-O2", "-Wall", "-Wextra"])


def file_that_cannot_grow(name: str, size: int) -> int:
    """A file in memory of ``size`` bytes, which nobody can make larger or smaller."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    seal(fd, size)
    return fd


def seal(fd: int, size: int) -> None:
    """Give the file exactly ``size`` bytes for good. What is written after them is an error."""
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)


def text_in(fd: int) -> str:
    """What was written to a file whose size is fixed, without the rest."""
    written = os.pread(fd, os.fstat(fd).st_size, 0)
    full = "\n(more than this is not kept)" if written[-1:] > b"\0" else ""
    return written.rstrip(b"\0").decode(errors="replace") + full


def own_namespaces(pid: int) -> list[str]:
    """The kinds of namespaces that the process does not share with us, as the kernel sees it."""
    process, ours = Path(f"/proc/{pid}/ns"), Path("/proc/self/ns")
    return [
        word
        for kind, word in _NAMESPACES.items()
        if (process / kind).readlink() != (ours / kind).readlink()
    ]


def walls(pid: int) -> str:
    """In words, what keeps the process inside; it must have put up its inner walls."""
    own = own_namespaces(pid)
    outer = (
        f"namespaces of its own: {', '.join(own)}" if own else "the kernel refuses it namespaces"
    )
    return f"few kernel calls, bounded memory and files; {outer}"
