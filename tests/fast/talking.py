"""Talking to the kernel like a front end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

KERNELSPEC = Path(__file__).parents[2] / "kernel" / "kernelspec"
TIMEOUT = 60  # wall seconds for any one answer, on a busy computer


@contextmanager
def kernels(folder: Path) -> Iterator[None]:
    """Make Jupyter find this tree's kernelspec first, installed or not."""
    (folder / "kernels").mkdir()
    (folder / "kernels" / "branchpoint").symlink_to(KERNELSPEC)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", f"{folder}{os.pathsep}{os.environ.get('JUPYTER_PATH', '')}")
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        yield


class Talk:
    """A running kernel and its messages."""

    def __init__(self, **options: Any) -> None:
        self.manager, self.client = start_new_kernel(
            kernel_name="branchpoint", startup_timeout=TIMEOUT, **options
        )
        self.seen: list[dict[str, Any]] = []
        self._ahead: list[tuple[str, dict[str, Any]] | None] = []

    def send(self, code: str) -> str:
        return self.client.execute(code)

    def next_output(self, request: str) -> tuple[str, dict[str, Any]] | None:
        """The next output message of that cell; None at its end.

        Printed lines are whole: a busy kernel may send a line in pieces.
        """
        output = self._ahead.pop() if self._ahead else self._next_message(request)
        while output and output[0] == "stream" and not output[1]["text"].endswith("\n"):
            more = self._next_message(request)
            if not more or more[0] != "stream" or more[1]["name"] != output[1]["name"]:
                self._ahead.append(more)
                break
            output[1]["text"] += more[1]["text"]
        return output

    def _next_message(self, request: str) -> tuple[str, dict[str, Any]] | None:
        while True:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            self.seen.append(message)
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != request or kind == "execute_input":
                continue
            if kind != "status":
                return kind, content
            if content["execution_state"] == "idle":
                return None

    def outputs(self, request: str) -> list[tuple[str, dict[str, Any]]]:
        return list(iter(lambda: self.next_output(request), None))

    def __call__(self, code: str) -> list[tuple[str, dict[str, Any]]]:
        return self.outputs(self.send(code))

    def text(self, code: str) -> str:
        """Everything the cell printed, returned or failed with, as plain text."""
        return "".join(
            content.get("text")
            or content.get("data", {}).get("text/plain", "")
            or "\n".join(content.get("traceback", ()))
            for _, content in self(code)
        )

    def ask(self, what: str, **more: Any) -> dict[str, Any]:
        """What the kernel answers on the control channel, whatever its cells do."""
        message = self.client.session.msg("branchpoint_request", {"ask": what, **more})
        self.client.control_channel.send(message)
        reply = self.client.control_channel.get_msg(timeout=TIMEOUT)
        assert reply["parent_header"]["msg_id"] == message["header"]["msg_id"]
        return reply["content"]

    @property
    def pushes(self) -> list[dict[str, Any]]:
        """What the kernel sent without a request while cells ran."""
        return [m["content"] for m in self.seen if m["msg_type"] == "branchpoint_state"]

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
