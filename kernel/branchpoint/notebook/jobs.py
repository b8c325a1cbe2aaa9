"""Jobs in a notebook: a cell that runs for long is a job, and a cell that attaches to a job shows
the job's output.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from branchpoint.background import Job, Screen, jobs
from branchpoint.notebook import nesting
from branchpoint.notebook.aside import on_main
from branchpoint.notebook.reporter import Output

_NAME = 80  # characters of a cell's name
_UNNAMED = ("#", "import ", "from ", "%")  # lines that would be poor names
_OUTPUTS = 40  # jobs whose output is kept


class CellJobs:
    """Makes jobs of the cells of one kernel, and keeps the output of jobs."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._outputs: dict[int, Output] = {}  # by number of the job
        self._code: str | None = None  # the text of the running cell
        self._began = 0.0  # when that cell began
        self._cell: Job | None = None  # the job that this cell has become
        self._shown = threading.local()  # .mirror: shows another job in the cell of this thread
        nesting.watch(shell, begin=self._begin, end=self._end)
        jobs.use(self._screen)

    def drawn(self) -> None:
        """Call this when progress is shown in this thread: the running cell becomes a job."""
        if on_main() and self._code is not None and self._cell is None:
            job = self._cell = jobs.add(name_of(self._code), background=False, began=self._began)
            asked = self._shell.kernel.get_parent("shell") or {}
            job.cell = str((asked.get("metadata") or {}).get("cellId") or "")
            job.request = str((asked.get("header") or {}).get("msg_id") or "")

    def keep(self, job: Job, output: Output) -> None:
        """Keep the output of a job."""
        output.jobs.append(job)
        self._outputs[job.number] = output
        while len(self._outputs) > _OUTPUTS:
            del self._outputs[next(iter(self._outputs))]

    def output(self, job: Job) -> Output | None:
        """The output of a job; None when it is not kept."""
        return self._outputs.get(job.number)

    def shows(self, data: dict[str, Any]) -> bool:
        """Whether the running cell is attached to a job and shows ``data`` as its output."""
        mirror: Mirror | None = getattr(self._shown, "mirror", None)
        return mirror is not None and mirror.shows(data)

    def _begin(self, info: Any) -> None:
        self._shown.mirror = None
        if not on_main():
            return
        self._code = info.raw_cell or ""
        self._began = time.monotonic()

    def _end(self, result: Any) -> None:
        if not on_main():
            return
        self._code = None
        if self._cell is not None:
            job, self._cell = self._cell, None
            jobs.end(job, result.result, result.error_before_exec or result.error_in_exec)

    def _screen(self, job: Job) -> Screen:
        """A function that shows the new output of a job in the running cell, at each call."""
        if on_main():
            self._code = None  # a cell that follows a job is not a job itself
        output = self._outputs.get(job.number)
        if output is None:
            return lambda: None
        mirror = self._shown.mirror = Mirror(self._shell.display_pub, output)
        return mirror


class Mirror:
    """Shows the output of one cell in another, except its value, which ``attach`` returns."""

    def __init__(self, publisher: Any, output: Output) -> None:
        self._publisher = publisher
        self._output = output
        self._printed: dict[int, int] = {}  # characters, by position in the output
        self._displays: dict[int, Any] = {}  # what is shown, by position
        self._cleared = output.cleared

    def __call__(self) -> None:
        """Show what is new; when the cell has cleared its output, only what came after that."""
        if self._cleared != self._output.cleared:
            self._cleared = self._output.cleared
            self._publisher.clear_output(wait=True)
            self._printed.clear()
            self._displays.clear()
        for position, (kind, content) in enumerate(list(self._output.messages)):
            if kind == "stream":
                text = content["text"]
                stream = sys.stderr if content["name"] == "stderr" else sys.stdout
                stream.write(text[self._printed.get(position, 0) :])
                self._printed[position] = len(text)
            elif kind == "display_data" and self._displays.get(position) != content["data"]:
                self._publisher.publish(
                    content["data"],
                    content["metadata"],
                    transient={"display_id": f"attached-{id(self)}-{position}"},
                    update=position in self._displays,
                )
                self._displays[position] = content["data"]

    def shows(self, data: dict[str, Any]) -> bool:
        """Whether ``data`` is shown now."""
        return data in self._displays.values()


def name_of(code: str) -> str:
    """The name of a cell in lists: its first line that is no comment, import or magic."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_UNNAMED)]
    name = (telling or lines or ["a cell"])[0]
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
