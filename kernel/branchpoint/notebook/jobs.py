"""Jobs in a notebook: cells that take long are jobs, and what a job put out is shown to whoever
attaches to it.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from branchpoint.background import Job, Screen, jobs
from branchpoint.notebook.aside import on_main
from branchpoint.notebook.reporter import Output

_NAME = 80  # characters of a cell that name it
_UNNAMED = ("#", "import ", "from ", "%")  # lines that say little about a cell
_OUTPUTS = 40  # jobs whose output is kept


class CellJobs:
    """Makes jobs of the cells of one kernel, and keeps what jobs put out."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._outputs: dict[int, Output] = {}  # by number of the job
        self._code: str | None = None  # of the cell that runs
        self._began = 0.0  # when it began to run
        self._cell: Job | None = None  # the job that it is
        self._shown = threading.local()  # .mirror: what the cell of a thread shows of another job
        shell.events.register("pre_run_cell", self._begin)
        shell.events.register("post_run_cell", self._end)
        jobs.use(self._screen)

    def drawn(self) -> None:
        """There is progress in this thread: a cell that it comes from is a job now."""
        if on_main() and self._code is not None and self._cell is None:
            job = self._cell = jobs.add(name_of(self._code), background=False, began=self._began)
            asked = self._shell.kernel.get_parent("shell") or {}
            job.cell = str((asked.get("metadata") or {}).get("cellId") or "")
            job.request = str((asked.get("header") or {}).get("msg_id") or "")

    def keep(self, job: Job, output: Output) -> None:
        """Remember where the output of a job goes."""
        output.jobs.append(job)
        self._outputs[job.number] = output
        while len(self._outputs) > _OUTPUTS:
            del self._outputs[next(iter(self._outputs))]

    def output(self, job: Job) -> Output | None:
        """What a job has put out, if that is kept."""
        return self._outputs.get(job.number)

    def shows(self, data: dict[str, Any]) -> bool:
        """Whether the cell that runs has attached to a job that has put this out."""
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
        """Shows, in the cell that runs, what a job has put out; again and again as it grows."""
        if on_main():
            self._code = None  # a cell that follows a job is none itself
        output = self._outputs.get(job.number)
        if output is None:
            return lambda: None
        mirror = self._shown.mirror = Mirror(self._shell.display_pub, output)
        return mirror


class Mirror:
    """Shows in one cell what another has put out. Its value is not: whoever attaches gets that."""

    def __init__(self, publisher: Any, output: Output) -> None:
        self._publisher = publisher
        self._output = output
        self._printed: dict[int, int] = {}  # characters, by position in the output
        self._displays: dict[int, Any] = {}  # what is shown, by position

    def __call__(self) -> None:
        """Show what is new."""
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
        """Whether that is on the screen."""
        return data in self._displays.values()


def name_of(code: str) -> str:
    """What a cell is called in lists: its first line that does something."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(_UNNAMED)]
    name = (telling or lines or ["a cell"])[0]
    return name if len(name) <= _NAME else name[: _NAME - 1] + "…"
