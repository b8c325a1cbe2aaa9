"""Progress inside a cell, which is not saved in the notebook.

While a long operation runs, one display of the cell shows its progress. When it ends, the cell's
output is cleared and what the cell had printed before is sent again. So the saved notebook is the
same as without progress, and does not depend on the speed of the computer.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable
from html import escape
from typing import Any

from branchpoint.background import Job
from branchpoint.progress import Task

_REPEATED = {"stream", "display_data", "execute_result", "error"}  # these are sent again
_RECENT = 500  # messages of a cell that may still be on their way to a page
_BUDGET = 1 << 20  # most characters of a cell's output that are kept to be sent again


class Output:
    """The output of one cell so far, and the display of its progress."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.size = 0
        self.clear_next = False
        self.cleared = 0  # how often the cell has cleared it
        self.tasks: list[Task] = []
        self.jobs: list[Job] = []
        self.shown = False
        self.takers: set[str] = set()  # widgets that show what the cell puts out, by comm id
        self.count: int | None = None  # the cell's execution count
        self.ids: deque[str] = deque(maxlen=_RECENT)  # ids of the latest messages

    def record(self, kind: str, content: dict[str, Any]) -> None:
        if self.takers and kind in (*_REPEATED, "clear_output"):
            return  # it is not in the cell's own output
        if kind == "clear_output" and content.get("wait"):
            self.clear_next = True
        elif kind == "clear_output" or (self.clear_next and kind in _REPEATED):
            self.clear()
        if kind == "update_display_data":
            name = _display_id(content)
            for _, earlier in self.messages:
                if name is not None and _display_id(earlier) == name:
                    earlier.update(data=content["data"], metadata=content["metadata"])
        elif kind in _REPEATED:
            previous = self.messages[-1][1] if self.messages else {}
            if kind == "stream" and previous.get("name") == content["name"]:
                previous["text"] += content["text"]
            else:
                self.messages.append((kind, dict(content)))
            # Pictures can be bytes here, which the session encodes later.
            data = content.get("data", content)
            self.size += len(content.get("text", "")) or len(json.dumps(data, default=repr))
            if self.size > _BUDGET:
                self.messages.clear()

    def clear(self) -> None:
        """Call this when the page shows nothing of it any more."""
        self.messages.clear()
        self.size = 0
        self.cleared += 1
        self.clear_next = False
        self.shown = False

    @property
    def alive(self) -> bool:
        """Whether more output may come, even after the cell has ended."""
        return bool(self.tasks) or any(job.running for job in self.jobs)

    @property
    def repeatable(self) -> bool:
        return self.size <= _BUDGET


def _display_id(content: dict[str, Any]) -> Any:
    return (content.get("transient") or {}).get("display_id")


class CellReporter:
    """A :class:`branchpoint.progress.Reporter` for the cell that runs."""

    def __init__(self, kernel: Any, drawn: Callable[[], None]) -> None:
        """``drawn()`` is called at each progress, in the thread that makes progress."""
        self._kernel = kernel
        self._drawn = drawn
        self._lock = threading.RLock()
        self._outputs: dict[str, Output] = {}
        # All streams, displays and results are sent by this one method of the session.
        self._send = kernel.session.send
        kernel.session.send = self._send_and_record

    def _send_and_record(self, stream: Any, msg_or_type: Any, *args: Any, **kwargs: Any) -> Any:
        # Sending only queues the message; the lock keeps the record in the order of the queue.
        with self._lock:
            freed: list[Output] = []
            message = self._send(stream, msg_or_type, *args, **kwargs)
            if message and message["msg_type"].startswith("comm_"):
                freed = self._follow_taker(message["msg_type"], message["content"])
            if message and message.get("parent_header"):
                kind, parent = message["msg_type"], message["parent_header"]
                if kind == "execute_input":
                    self._outputs = {k: v for k, v in self._outputs.items() if v.alive}
                    output = self._outputs[parent["msg_id"]] = Output(parent)
                    output.count = message["content"].get("execution_count")
                elif parent.get("msg_id") in self._outputs:
                    output = self._outputs[parent["msg_id"]]
                    output.ids.append(message["header"]["msg_id"])
                    output.record(kind, message["content"])
        for output in freed:
            self._show(output)  # progress may have begun or ended meanwhile
        return message

    def _follow_taker(self, kind: str, content: dict[str, Any]) -> list[Output]:
        """Note whether a widget (``ipywidgets.Output``) takes what a cell puts out, which its trait
        ``msg_id`` names. Returns the outputs that no widget takes any more.
        """
        data = content.get("data")
        state = data.get("state") if isinstance(data, dict) else None
        state = state if isinstance(state, dict) else {}
        if kind != "comm_close" and "msg_id" not in state:
            return []
        taken, name = self._outputs.get(state.get("msg_id", "")), content["comm_id"]
        freed = []
        for output in self._outputs.values():
            if name in output.takers and output is not taken:
                output.takers.remove(name)
                freed += [] if output.takers else [output]
        if taken is not None:
            taken.takers.add(name)
        return freed

    def __call__(self, task: Task, *, final: bool) -> None:
        publisher = self._kernel.shell.display_pub
        with self._lock:
            owner = next((o for o in self._outputs.values() if task in o.tasks), None)
            output = owner or self.output()
            # Captured output (%%capture) and endless output show no progress.
            if output is None or not hasattr(publisher, "pub_socket"):
                return
            if final:
                if task in output.tasks:
                    output.tasks.remove(task)
            elif task not in output.tasks:
                output.tasks.append(task)
        self._drawn()
        self._show(output)

    def _show(self, output: Output) -> None:
        if output.tasks:
            self._draw(output)
        elif output.shown:
            self._remove(output)

    def told(self, output: Output) -> dict[str, Any]:
        """What a cell shows now, for a page that has not seen it: messages that produce it, and
        the ids of earlier messages that they contain, which may still be on their way.
        """
        with self._lock:
            messages = [(kind, dict(content)) for kind, content in output.messages]
            if output.shown:
                messages.append(("display_data", self._bundle(output, output.tasks)))
            return {"messages": messages, "ids": list(output.ids), "count": output.count}

    def output(self) -> Output | None:
        """The output of the cell to which this thread's output belongs."""
        parent = getattr(self._kernel.shell.display_pub, "parent_header", None) or {}
        return self._outputs.get(parent.get("msg_id", ""))

    def _publish(self, output: Output, kind: str, content: dict[str, Any]) -> None:
        self._send(
            self._kernel.iopub_socket,
            kind,
            content,
            parent=output.parent,
            ident=self._kernel._topic(kind),
        )

    def _bundle(self, output: Output, tasks: list[Task]) -> dict[str, Any]:
        plain = "\n".join(str(task) for task in tasks)
        html = "".join(
            f'<div><progress value="{min(task.done, task.total):g}" max="{task.total:g}">'
            f"</progress> {escape(str(task))}</div>"
            if task.total
            else f"<div>{escape(str(task))}</div>"
            for task in tasks
        )
        return {
            "data": {"text/plain": plain, "text/html": html},
            "metadata": {},
            "transient": {"display_id": f"progress-{output.parent['msg_id']}"},
        }

    def _draw(self, output: Output) -> None:
        if not output.shown and not output.repeatable:
            return
        _flush()
        with self._lock:
            # A widget would show it for ever; without a task, it has just been removed.
            if output.takers or not output.tasks:
                return
            if output.clear_next and not output.shown:
                output.clear()  # the page does so when there is something new to show
            kind = "update_display_data" if output.shown else "display_data"
            output.shown = True
            self._publish(output, kind, self._bundle(output, output.tasks))

    def _remove(self, output: Output) -> None:
        _flush()
        with self._lock:
            if output.takers or not output.shown:
                return
            output.shown = False
            if not output.repeatable:
                self._publish(output, "update_display_data", self._bundle(output, []))
                return
            # With wait=True and no message after it, the output would never be cleared.
            self._publish(output, "clear_output", {"wait": bool(output.messages)})
            for kind, content in output.messages:
                self._publish(output, kind, content)
            if output.clear_next:
                self._publish(output, "clear_output", {"wait": True})


def _flush() -> None:
    """Send what was printed before. Never call this while holding the reporter's lock."""
    sys.stdout.flush()
    sys.stderr.flush()
