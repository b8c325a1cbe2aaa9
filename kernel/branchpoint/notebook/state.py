"""What the Lab extension shows of a kernel: its recordings, moments, branches and jobs.

It must be small and quick to make, because it is sent while cells run. Texts come from the recorded
system; the extension shows them as plain text only.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary, ref

import branchpoint as bp
from branchpoint.background import Job, jobs
from branchpoint.clock import SECOND, format_vtime
from branchpoint.errors import BranchpointError
from branchpoint.events.types import TYPES
from branchpoint.futures.explaining import recorded
from branchpoint.timeline.replaying.history import History
from branchpoint.views.tree import Node, grow

_MARKS = 200  # most marks of one recording
_NOTED = 500  # how many of the newest branches noted with a recording are read
_BRANCHES = 50  # how many are sent of those in use, and of earlier ones
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
        self._moving: ref[History] | None = None  # in which branch
        self._latest: dict[str, str] = {}  # by type: the variable that changed last
        self._seen: dict[str, Any] = {}
        self._summaries: WeakKeyDictionary[bp.Recording, dict[str, Any]] = WeakKeyDictionary()
        self._grown: WeakKeyDictionary[bp.Recording, tuple[Any, list[Node], list[Node]]] = (
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

    def _follow(self, histories: Iterable[History]) -> None:
        """Watch for time that passes in these branches."""
        for history in histories:
            if id(history) not in self._watched:
                self._watched[id(history)] = history
                history.watchers.append(partial(self._moved, ref(history)))

    def _moved(self, of: ref[History], standing: bool) -> None:
        """Time has passed in a branch. Called in any thread."""
        history, now = of(), time.monotonic()
        if history is None:
            return
        began, start = self._passing = self._passing or (now, history.tip.at)
        self._moving = of
        if now - began > _MEASURED:
            self._speed = (history.tip.at - start) / SECOND / (now - began)
        if standing:
            self._passing = self._moving = None
        self._passed(standing)

    def state(self) -> dict[str, Any]:
        """Everything, as JSON."""
        runs = {n: r for n, r in self._named(bp.Recording).items() if not r.closed}
        moments = {n: m for n, m in self._named(bp.Moment).items() if not m.run.closed}
        branches = {n: b for n, b in self._named(bp.Branch).items() if not b.run.closed}
        for value in (*moments.values(), *branches.values()):
            if value.run not in runs.values():
                runs[""] = value.run  # no variable holds it, only a moment or a branch of it
        names: dict[Any, str] = {run: name for name, run in runs.items()}  # however opened
        variables = {id(branch._history): name for name, branch in reversed(branches.items())}
        for run in runs.values():
            self._follow(branch._history for branch in run.branches)
        moving = self._moving() if self._moving is not None else None
        return {
            "format": 2,
            "busy": self.busy or self._passing is not None,
            "folder": str(Path.cwd()),
            "recordings": [self._recording(name, run, variables) for name, run in runs.items()],
            "moments": [
                {"name": name, "run": names.get(m.run, ""), "vtime": m.vtime}
                for name, m in moments.items()
            ],
            "branches": [
                {"name": name, "run": names.get(b.run, ""), "end": b.end.vtime}
                for name, b in branches.items()
            ],
            "moving": None if moving is None else self._place(moving, runs.values(), variables),
            "latest": self._latest,
            "chosen": self._choice(names),
            "jobs": [_job(job) for job in jobs],
            "speed": self._speed,
        }

    def _place(
        self, history: History, runs: Iterable[bp.Recording], variables: dict[int, str]
    ) -> dict[str, Any] | None:
        """The branch in which time passes now: its variable ("" if none), start and tip."""
        for run in runs:
            for branch in run.branches:
                if branch._history is history:
                    name = variables.get(id(history), "")
                    return {"name": name, "start": branch.start.vtime, "end": branch.end.vtime}
        return None

    def _choice(self, names: dict[Any, str]) -> dict[str, Any] | None:
        """The moment chosen last in a view; ``number`` is different for each choice."""
        moment = self._chosen
        if moment is None or moment.run.closed:
            return None
        run = names.get(moment.run, "")
        return {
            "number": self._choices,
            "run": run,
            "path": os.path.relpath(moment.run.path),
            "vtime": moment.vtime,
            "id": moment.id,
        }

    def _recording(self, name: str, run: bp.Recording, variables: dict[int, str]) -> dict[str, Any]:
        if run not in self._summaries:
            self._summaries[run] = _summary(run)
        now, earlier = self._trees(run)

        def told(nodes: list[Node]) -> list[dict[str, Any]]:
            return [_told(run, node, variables) for node in nodes[-_BRANCHES:]]

        return {
            "name": name,
            "path": os.path.relpath(run.path),
            **self._summaries[run],
            "branches": told(now),
            "earlier": told(earlier),
            "unlisted": sum(max(len(nodes) - _BRANCHES, 0) for nodes in (now, earlier)),
        }

    def _trees(self, run: bp.Recording) -> tuple[list[Node], list[Node]]:
        """The branches that the map shows, and those that it shows when asked for earlier ones."""
        kept, named = run.files.futures, run.named
        held = [branch._history for branch in run.branches]
        seen = len(kept), len(named), [(id(history), history.tip) for history in held]
        if run not in self._grown or self._grown[run][0] != seen:
            newest = dict(list(kept.items())[-_NOTED:])
            now, _ = grow(run, list(named.values()), [], None)
            every, _ = grow(run, {**newest, **named}.values(), [], None)
            earlier = [n for n in every if n.future is not None and n.future.id not in named]
            self._grown[run] = seen, now[1:], earlier
        return self._grown[run][1:]


def _told(run: bp.Recording, node: Node, variables: dict[int, str]) -> dict[str, Any]:
    """A branch: the variable that holds it, or the id that makes it again."""
    held = node.held() if node.held is not None else None
    start, end = ((at - run.origin) / SECOND for at in (node.start, node.end))
    return {
        "name": variables.get(id(held), "") if held is not None else "",
        "id": f"{node.future.id}@{format_vtime(node.end - run.origin)}" if node.future else "",
        "title": node.title,
        "depth": node.depth - 1,
        "start": start,
        "end": end,
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
    failed = run.manifest.failure
    return {
        "title": run.manifest.title,
        "duration": run.duration,
        "seed": run.manifest.seed,
        "events": len(run.events),
        "failure": None if failed is None else (failed - run.origin) / SECOND,
        "question": _question(run),
        "ended": run.manifest.ended[:_TEXT],
        "containers": [container.name for container in run.manifest.containers],
        "marks": marks,
    }


def _question(run: bp.Recording) -> str:
    """Python for the failure that ended the recording; "" when nothing did, or when it is not told.

    A failure that a script made with :func:`branchpoint.failure` is kept by its name only.
    """
    try:
        wanted = recorded(run)
    except BranchpointError:
        return ""
    exited = wanted.removeprefix("exit:")
    return f"failure({'exit=' * (exited != wanted)}{json.dumps(exited, ensure_ascii=False)})"
