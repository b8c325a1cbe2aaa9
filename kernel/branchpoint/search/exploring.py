"""Explores a system: runs one stretch after another, and records what it finds."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import msgspec

from branchpoint import files, progress
from branchpoint.clock import SECOND, Duration, to_ns
from branchpoint.errors import BranchpointError, RecordingError, near
from branchpoint.events.listing import inert
from branchpoint.futures import recording as recordings
from branchpoint.search.cluster import ClusterCrew, open_crew
from branchpoint.search.composed import Commands
from branchpoint.search.crew import Crew
from branchpoint.search.exploration import (
    BASE,
    HEAD,
    SUFFIX,
    Exploration,
    Finding,
    Head,
    alone,
)
from branchpoint.search.properties import built_in, check, declared
from branchpoint.search.signs import SIGNALS, Signal
from branchpoint.search.strategy import Next, Strategy
from branchpoint.search.stretches import Ran, inputs
from branchpoint.search.tree import MOST_WORKERS, Node
from branchpoint.search.triage import triage
from branchpoint.store import disk
from branchpoint.store.manifest import Manifest
from branchpoint.system import System, load
from branchpoint.system.bundle.contents import contents
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.recorder.record import texts
from branchpoint.timeline.recorder.rerecord import rerecord
from branchpoint.timeline.recording import Recording
from branchpoint.units import size

_WEIGHED = 100  # stretches between two looks at the disk
_SET_UP = 0.1  # virtual seconds that the recording of set-up goes on after it
_LINE = 80  # characters of a line that has changed
_AFTER = 2 * SECOND  # ns that a finding's recording goes on after the failure


def explore(
    compose: Path | str | Sequence[Path | str],
    path: Path | str | None = None,
    *,
    duration: Duration = 600,
    stretches: int | None = None,
    failures: Sequence[Any] = (),
    seed: int = 0,
    length: Duration = 2,
    depth: Duration = 60,
    workers: int | str | None = None,
    memory: int | str | None = None,
    disk: int | str | None = None,
    without: Collection[Signal] = (),
    triaged: bool = True,
    **how: Any,
) -> Exploration:
    """Search the futures of a system for failures, for ``duration`` seconds of wall time, or until
    there are so many ``stretches``.

    A stretch leaves set-up complete, or the end of another stretch, with a seed that draws
    everything random anew. It has at most ``length`` virtual seconds; none is continued ``depth``
    virtual seconds after set-up. ``failures`` (``bp.failure(...)`` or their short forms) are looked
    for besides the properties of the compose file and those that need no declaration: unexpected
    exits, out of memory, violated assertions, failed test commands, the end of the machine.

    What is known is in the directory ``path`` (default: ``<name of the system>.bpx``); an
    exploration that is there goes on. The first failure of each kind becomes a recording in it.
    Stretches run in ``workers`` processes (default: one for each core), or on the dask.distributed
    cluster whose scheduler has this address (``"tcp://…"``). With one process, equal arguments give
    equal explorations. With several it depends on which is done first; in any case all of it can be
    visited again, and is the same then. Ends of stretches take at most ``memory`` in all processes
    together (bytes, or ``"4g"``; default: 1 GiB each), others are run again when they are needed;
    besides, each process has a machine. When all that is kept takes more than ``disk``, the search
    ends. What a system does is known by the ``lines`` that it says, the ``events`` of its
    containers, the ``assertions`` of its programs and the ``code`` that they run; what ``without``
    names is not looked at. If ``triaged``, the curve of each new finding is drawn in the end, and
    each of its faults removed in turn, which takes a minute or two each. ``how`` is as for
    :func:`branchpoint.record`: ``profiles`` and ``env_files``. Interrupted, it returns what it has.

    :raises BranchpointError: when the exploration that is there asks for something else or is of
        another system, or a failure cannot be looked for in short stretches.
    :raises ComposeError: when the compose file has something that cannot be done.
    """
    system = load(compose, how.get("profiles"), env_files=how.get("env_files"))
    title = system.name
    given = [failure(each) for each in failures]
    for each in given:
        check(each, system)
    looked_for = [*built_in(), *declared(system), *given]
    twice = [name for name, count in Counter(each.name for each in looked_for).items() if count > 1]
    if twice:
        raise BranchpointError(
            f"two failures have the name {twice[0]!r}", "give each its own: failure(..., name=...)"
        )
    target = Path(path) if path is not None else Path(f"{title}{SUFFIX}")
    named = [(each.name, each.key) for each in looked_for]
    for name in without:
        if name not in SIGNALS:
            raise BranchpointError(f"there is no signal {name!r}", near(name, SIGNALS))
    head = Head(
        title=title, seed=seed, length=to_ns(length), depth=to_ns(depth), failures=named,
        signals=tuple(signal for signal in SIGNALS if signal not in without),
        content=contents(system, target),
    )  # fmt: skip
    prepare(system, compose, target, head, how)
    found = Exploration(target)
    count = workers or len(os.sched_getaffinity(0))
    kept = _bytes(memory, "memory")
    most = _bytes(disk, "disk")
    with contextlib.ExitStack() as undo:
        undo.push(found)  # closed only on an error
        with found.claimed():
            try:
                with found.open_base() as base, open_crew(found, looked_for, count, kept) as crew:
                    wall = to_ns(duration) / SECOND
                    Search(found, looked_for, base).run(crew, wall, stretches, most)
                if triaged:
                    _triage(found, looked_for, workers)
            except KeyboardInterrupt:
                found.stopped = True
                number = len(found.tree)
                progress.stopped(f"stopped with {number} stretches; calling it again goes on")
        undo.pop_all()
    return found


def _bytes(given: int | str | None, name: str) -> int:
    """A size, in bytes; 0 when none is given."""
    if given is None:
        return 0
    found = size(str(given))
    if not found:
        raise BranchpointError(f"{name}={given!r} is no size", 'for example "4g" or "500m"')
    return found


def _triage(found: Exploration, looked_for: Sequence[Failure], workers: int | str | None) -> None:
    """Look into the findings that nobody has looked into yet."""
    for finding in found.findings:
        if found.triage(finding.number) is None:
            wanted = next(each for each in looked_for if each.name == finding.failure)
            found.keep_triage(finding.number, triage(finding.path, wanted, workers))


class Search:
    """Continues an exploration."""

    def __init__(self, found: Exploration, looked_for: Sequence[Failure], base: Recording) -> None:
        """``base`` is its recording of set-up."""
        self._found = found
        self._looked_for = looked_for
        self._base = base
        head = found.head
        commands = Commands.of(base.manifest.containers)
        self._strategy = Strategy(found.tree, head.seed, head.depth, head.length, commands)

    def run(
        self, crew: Crew | ClusterCrew, wall: float, stretches: int | None, disk: int = 0
    ) -> None:
        """Let a crew run stretches for ``wall`` seconds, or until there are so many, or until all
        takes more than ``disk`` bytes (0: no limit).
        """
        tree, begun, given = self._found.tree, time.monotonic(), len(self._found.tree)
        full = bool(disk) and self._found.size > disk
        with progress.task(f"exploring {self._found.head.title}", wall, "s") as task:
            self._record_findings(1)

            def choose(worker: int) -> Next | None:
                nonlocal given
                over = full or time.monotonic() > begun + wall
                if over or (stretches is not None and given >= stretches):
                    return None
                given += 1
                return self._strategy.next(worker)

            def take(worker: int, chosen: Next, ran: Ran) -> Node:
                nonlocal full
                node = self._take(worker, chosen, ran)
                if disk and (node.failure or node.number % _WEIGHED == 0):
                    full = full or self._found.size > disk
                said = f"{len(tree)} stretches, {len(tree.signs)} things, "
                said += f"{len(tree.code)} places of code, {self._found.kinds} findings"
                task.update(time.monotonic() - begun, said)
                return node

            crew.run(choose, take)
        if full:
            progress.stopped(
                f"ended with {len(tree)} stretches: {self._found.path} takes "
                f"{self._found.size / 1e6:.1f} MB, and {disk / 1e6:.1f} MB are allowed; "
                "with a larger disk= it goes on"
            )

    def _take(self, worker: int, chosen: Next, ran: Ran) -> Node:
        """Add a stretch; a failure of a new kind is recorded."""
        tree = self._found.tree
        start = tree.end(chosen.parent)
        node = msgspec.structs.replace(
            tree.node(chosen.parent, chosen.seed, start, ran.end, ran.seen, ran.places),
            worker=worker % MOST_WORKERS,
            walk=chosen.walk,
            ending=chosen.ending,
            failure=ran.failure,
            failed_at=ran.failed_at,
            kind=ran.kind,
            untold=ran.untold,
        )
        self._found.add(node)
        self._strategy.learn(node)
        if ran.failure:
            self._record_findings(node.number)
        return node

    def _record_findings(self, since: int) -> None:
        """Make the recordings that are missing, of findings since the node of that number."""
        for finding in self._found.findings:
            if finding.nodes[0] >= since and not finding.path.exists():
                self._record(finding)

    def _record(self, finding: Finding) -> None:
        wanted = next(each for each in self._looked_for if each.name == finding.failure)
        finding.path.parent.mkdir(exist_ok=True)
        unfinished = finding.path.with_name(f".{finding.path.name}")
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        tree, number = self._found.tree, finding.nodes[0]
        since = [given for each in tree.path(number) for given in inputs(tree[each])]
        made = rerecord(
            self._base, unfinished, [*self._base.end.inputs, *since], wanted,
            horizon=tree.end(number), after=_AFTER, kind=recordings.Recording,
        )  # fmt: skip
        with made:
            failed = made.manifest.failure
        if failed is None:
            raise RecordingError(
                f"{unfinished} does not fail, although a stretch with the same inputs did",
                "run `branchpoint doctor`; if this engine is sound, report this as a bug",
            )
        unfinished.rename(finding.path)


def prepare(system: System, compose: Any, target: Path, head: Head, how: dict[str, Any]) -> None:
    """Make the directory of an exploration and its recording of set-up, unless they are there.

    ``system`` is that of the compose files.

    :raises BranchpointError: when what is there is something else, or somebody makes it just now.
    """
    if (target / HEAD).exists():
        known = Head.read(target)
        if differences := _differences(known, head):
            raise BranchpointError(
                f"{target} is an exploration with {differences}",
                "choose another name, or ask for the same again",
            )
    else:
        target.mkdir(parents=True, exist_ok=True)
        if any(target.iterdir()):
            raise BranchpointError(f"{target} exists and is no exploration", "choose another name")
        known = _write(target, head)
    base = target / BASE
    if base.exists():
        _check_same(system, target, known, head)
        return
    root = disk.open_directory(target)
    try:
        with alone(root, target):
            if not base.exists():
                unfinished = base.with_name(f".{base.name}")
                shutil.rmtree(unfinished, ignore_errors=True)
                _write(target, head)  # set-up may have failed before, with another system
                made = recordings.record(
                    compose, unfinished, seed=head.seed, duration=_SET_UP, **how
                )
                made.close()
                unfinished.rename(base)
    finally:
        os.close(root)


def _write(target: Path, head: Head) -> Head:
    with files.publish(target / HEAD) as file:
        file.write_bytes(msgspec.json.encode(head) + b"\n")
    return head


def _check_same(system: System, target: Path, known: Head, head: Head) -> None:
    """Refuse to search on when the system is another one: the recording of set-up, off which all
    stretches begin, would still be that of the old one.

    What is not known of either, as on a computer without its images, is taken to be the same.
    """
    changed = [
        f"changed {name}"
        for name, digest in known.content.items()
        if head.content.get(name, digest) != digest
    ]
    with recordings.open_recording(target / BASE) as base:
        changed = [*_of_files(base.manifest, system), *changed]
    if changed:
        raise BranchpointError(
            f"{target} explores {head.title} as it was, with {'; '.join(changed)}",
            "choose another name for the system as it is now (-o, or the second argument)",
        )


def _of_files(base: Manifest, system: System) -> list[str]:
    """In what the compose files, and the containers that follow from them, differ."""
    lines = zip_longest(base.compose.splitlines(), texts(system).splitlines(), fillvalue="")
    changed = next((pair for pair in lines if pair[0] != pair[1]), None)
    if changed is not None:
        was, is_now = (inert(line.strip(), _LINE) for line in changed)
        return [f'"{was}", not "{is_now}", in its compose file']
    had, has = ({each.name for each in of} for of in (base.containers, system.containers))
    named = ", ".join(sorted(had ^ has))
    return [f"other containers (profiles?): {inert(named, _LINE)}"] if named else []


def _differences(known: Head, head: Head) -> str:
    names = [
        name
        for name in Head.__struct_fields__
        if name != "content" and getattr(known, name) != getattr(head, name)
    ]
    return "; ".join(f"{name} {_shown(known, name)}, not {_shown(head, name)}" for name in names)


def _shown(head: Head, name: str) -> str:
    """A value of a head as users give it."""
    if name == "failures":
        return ", ".join(f"{each!r} ({key[:6]})" for each, key in head.failures)
    value = getattr(head, name)
    return f"{value / SECOND:.15g} s" if name in ("length", "depth") else str(value)
