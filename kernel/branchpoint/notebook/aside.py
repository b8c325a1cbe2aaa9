"""Messages that must not wait for the running cell, such as ``jobs.attach(1)``.

A kernel handles the messages of a front end one after the other. So a cell that attaches to the
job of another cell would wait until that cell ends, and a page that is loaded again would not even
learn which kernel it talks to. While a cell blocks the main thread, such messages go to another
thread (Jupyter calls it a subshell). Assignments do not: later cells may rely on them.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import zmq
from ipykernel.displayhook import ZMQShellDisplayHook

from branchpoint.background import jobs

_ABOUT_JOBS = re.compile(r"\s*jobs(?:\.(?:attach|cancel)\(\s*(\d*)\s*\)|\[\s*(\d+)\s*\])?\s*;?\s*")

_TAKES_UP = 2.0  # wall seconds after which a subshell has surely started the cell it was given


def on_main() -> bool:
    """Whether this is the main thread, in which all cells run except those sent to a subshell."""
    return threading.current_thread() is threading.main_thread()


class DisplayHook(ZMQShellDisplayHook):
    """IPython's display hook, with separate values for each thread, so that cells that run at the
    same time do not mix up their results.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        self._mine = threading.local()
        super().__init__(*args, **options)

    @property
    def exec_result(self) -> Any:
        """The result of the cell that runs in this thread."""
        return getattr(self._mine, "result", None)

    @exec_result.setter
    def exec_result(self, value: Any) -> None:
        self._mine.result = value

    @property
    def msg(self) -> Any:
        """The message about this result, while it is made."""
        return getattr(self._mine, "message", None)

    @msg.setter
    def msg(self, value: Any) -> None:
        self._mine.message = value


class Aside:
    """Sends urgent messages of one kernel to subshells."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._quick = ""  # the subshell for messages that are answered at once
        self._following: dict[str, float] = {}  # the other subshells: when each last got a cell
        self._main: Any = None  # the message that the main thread works on

    def route(self, message: list[Any]) -> list[Any]:
        """The message, addressed to a subshell if it must not wait. Called in the thread that
        receives messages.
        """
        if not self._kernel._supports_kernel_subshells or self._main is None:
            return message
        session = self._kernel.session
        identities, frames = session.feed_identities(message, copy=False)
        peeked = session.deserialize(frames, content=False, copy=False)
        header, content = peeked["header"], session.unpack(peeked["content"])
        if header.get("subshell_id") or not _urgent(header["msg_type"], content):
            return message
        follows = "attach" in content.get("code", "")
        addressed = {
            "header": {**header, "subshell_id": self._free() if follows else self._for_quick()},
            "parent_header": peeked["parent_header"],
            "metadata": peeked["metadata"],
            "content": content,
        }
        parts = session.serialize(addressed, identities)
        return [zmq.Frame(part) for part in parts]

    def _for_quick(self) -> str:
        self._quick = self._quick or self._manager._create_subshell()
        return self._quick

    def _free(self) -> str:
        """A free subshell, for a cell that follows a job until it ends."""
        now = time.monotonic()
        for name, since in self._following.items():
            taken = self._manager.get_subshell_asyncio_lock(name).locked()
            if not taken and now - since > _TAKES_UP:
                break
        else:
            name = self._manager._create_subshell()
        self._following[name] = now
        return name

    @property
    def _manager(self) -> Any:
        return self._kernel.shell_channel_thread.manager

    def published(self, status: str, message: Any) -> Any:
        """Call this after a status was published for ``message``. Returns the message for which
        "busy" must be published next, so that the kernel does not look idle while the main thread
        works; or None.
        """
        if on_main():
            self._main = message if status == "busy" else None
            return None
        return self._main if status == "idle" else None


def _urgent(kind: str, content: dict[str, Any]) -> bool:
    if kind == "kernel_info_request":
        return True
    match = _ABOUT_JOBS.fullmatch(content.get("code", "")) if kind == "execute_request" else None
    if match is None or not any(job.running and not job.background for job in jobs):
        return False
    number = match[1] or match[2]
    return not number or any(job.number == int(number) for job in jobs)
