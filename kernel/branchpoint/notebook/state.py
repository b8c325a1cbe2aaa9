"""What the Lab extension shows of a kernel: its recordings, moments, branches and jobs.

It must be small and quick to make, because it is sent while cells run. Texts come from the recorded
system; the extension shows them as plain text only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import branchpoint as bp
from branchpoint.background import Job, jobs
from branchpoint.clock import SECOND
from branchpoint.events.types import TYPES
from branchpoint.timeline.directory import Future
from branchpoint.timeline.replaying.history import History
from branchpoint.views.tree import title_of

_MARKS = 200  # most marks of one recording
_NOTED = 500  # how many of the newest branches noted with a recording are read
_BRANCHES = 50  # how many of them are sent
_MEASURED = 0.2  # shortest wall seconds over which a speed is measured
_TEXT = 120  # characters of an event


class Watch:
    """Watches the variables of a notebook."""

    def __init__(self, shell: Any, passed: Callable[[bool], None]) -> None:
        """``passed(standing)`` is called when time has passed in a branch that a variable holds;
        ``standing`` tells whether time has stopped there.
        """
        self.busy = False
        self._shell = shell
        self._passed = passed
        self._watched: WeakValueDictionary[int, History] = WeakValueDictionary()
        self._passing: tuple[float, int] | None = None  # since when: wall s and absolute ns
        self._latest: dict[str, str] = {}  # by type: the variable that changed last
        self._seen: dict[str, Any] = {}
        self._summaries: WeakKeyDictionary[bp.Recording, dict[str, Any]] = WeakKeyDictionary()
        self._futures: WeakKeyDictionary[bp.Recording, tuple[int, list[Future]]] = (
            WeakKeyDictionary()
        )
        self._speed: float | None = None
        self._chosen: bp.Moment | None = None
        self._choices = 0

    def choose(self, moment: bp.Moment) -> None:
        """Remember a moment that was chosen in a view."""
        self._chosen = moment
        self._choices += 1

    def _named(self, kind: type) -> dict[str, Any]:
        hidden = self._shell.user_ns_hidden
        names = list(self._shell.user_ns.items())
        return {
            name: value
            for name, value in names
            if isinstance(value, kind) and not name.startswith("_") and name not in hidden
        }

    def look(self) -> None:
        """Find out what the last cell changed."""
        for kind in (bp.Recording, bp.Moment, bp.Branch):
            for name, value in self._named(kind).items():
                now = (id(value), value.end.at if isinstance(value, bp.Branch) else 0)
                if self._seen.get(name) != now:
                    self._latest[kind.__name__] = name
                self._seen[name] = now

    def _follow(self, branches: dict[str, bp.Branch]) -> None:
        """Watch for time that passes in these branches."""
        for branch in branches.values():
            history = branch._history
            if id(history) not in self._watched:
                self._watched[id(history)] = history
                history.watchers.append(partial(self._moved, ref(history)))

    def _moved(self, of: Any, standing: bool) -> None:
        """Time has passed in a branch. Called in any thread."""
        history, now = of(), time.monotonic()
        if history is None:
            return
        began, start = self._passing = self._passing or (now, history.tip.at)
        if now - began > _MEASURED:
            self._speed = (history.tip.at - start) / SECOND / (now - began)
        if standing:
            self._passing = None
        self._passed(standing)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        runs = {n: r for n, r in self._named(bp.Recording).items() if not r.closed}
        moments = {n: m for n, m in self._named(bp.Moment).items() if not m.run.closed}
        branches = {n: b for n, b in self._named(bp.Branch).items() if not b.run.closed}
        for value in (*moments.values(), *branches.values()):
            if value.run not in runs.values():
                runs[""] = value.run  # no variable holds it, only a moment or a branch of it
        self._follow(branches)
        names: dict[Any, str] = {run: name for name, run in runs.items()}  # however opened
        return {
            "format": 1,
            "busy": self.busy or self._passing is not None,
            "folder": str(Path.cwd()),
            "recordings": [self._recording(name, run) for name, run in runs.items()],
            "moments": [
                {"name": name, "run": names.get(m.run, ""), "vtime": m.vtime}
                for name, m in moments.items()
            ],
            "branches": [self._branch(name, b, branches, names) for name, b in branches.items()],
            "latest": self._latest,
            "chosen": self._choice(names),
            "jobs": [_job(job) for job in jobs],
            "speed": self._speed,
        }

    def _choice(self, names: dict[Any, str]) -> dict[str, Any] | None:
        """The moment chosen last in a view; ``number`` is different for each choice."""
        moment = self._chosen
        if moment is None or moment.run.closed:
            return None
        run = names.get(moment.run, "")
        return {"number": self._choices, "run": run, "vtime": moment.vtime, "id": moment.id}

    def _recording(self, name: str, run: bp.Recording) -> dict[str, Any]:
        if run not in self._summaries:
            self._summaries[run] = _summary(run)
        noted = run.files.futures
        count, futures = self._futures.get(run, (-1, []))
        if count != len(noted):
            futures = _tips(list(noted.values())[-_NOTED:])[-_BRANCHES:]
            self._futures[run] = len(noted), futures
        return {
            "name": name,
            **self._summaries[run],
            "futures": [
                {"id": f.id, "vtime": (f.at - run.origin) / 1e9, "title": title_of(f.inputs)}
                for f in futures
            ],
        }

    def _branch(
        self, name: str, branch: bp.Branch, branches: dict[str, bp.Branch], names: dict[Any, str]
    ) -> dict[str, Any]:
        parent = branch._history.parent
        above = (n for n, other in branches.items() if other._history is parent)
        return {
            "name": name,
            "run": names.get(branch.run, ""),
            "parent": next(above, None),
            "start": branch.start.vtime,
            "end": branch.end.vtime,
        }


def _job(job: Job) -> dict[str, Any]:
    task = job.task
    return {
        "number": job.number,
        "name": job.name,
        "state": job.state,
        "background": job.background,
        "cell": job.cell,
        "request": job.request,
        "elapsed": round(job.elapsed, 1),
        "task": task.title if task else "",
        "note": task.note if task else "",
        "fraction": min(task.done / task.total, 1.0) if task and task.total else None,
        "remaining": task.remaining if task else None,
    }


def _tips(futures: list[Future]) -> list[Future]:
    """These branches, without those that are only an earlier part of another one."""
    found: list[Future] = []
    for future in sorted(futures, key=lambda f: -len(f.inputs)):
        count = len(future.inputs)
        if not any(f.at == future.at and f.inputs[:count] == future.inputs for f in found):
            found.append(future)
    kept = {future.id for future in found}
    return [future for future in futures if future.id in kept]


def _summary(run: bp.Recording) -> dict[str, Any]:
    """What does not change about a recording."""
    events = run.events.where(type=[each.name for each in TYPES.values() if each.word], start=0)
    marks = [
        {
            "vtime": event.vtime,
            "type": event.type,
            "word": TYPES[event.type].word,
            "container": event.container,
            "text": event.text[:_TEXT],
        }
        for event in events[-_MARKS:]
    ]
    failure = run.manifest.failure
    return {
        "path": os.path.relpath(run.path),
        "title": run.manifest.title,
        "duration": run.duration,
        "seed": run.manifest.seed,
        "events": len(run.events),
        "failure": None if failure is None else (failure - run.origin) / 1e9,
        "ended": run.manifest.ended[:_TEXT],
        "containers": [container.name for container in run.manifest.containers],
        "marks": marks,
    }
