"""What must not happen in any future of a system, whatever it is."""

from __future__ import annotations

import itertools

from branchpoint.errors import BranchpointError
from branchpoint.events import naming
from branchpoint.events.event import EventLog
from branchpoint.events.queries import Where
from branchpoint.system.model import System
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.judges import Stretch


def check(wanted: Failure, system: System) -> None:
    """Refuse what names nothing of the system, and what a short stretch cannot tell.

    :raises BranchpointError: also for a failure that needs a command, or that is something missing.
    """
    naming.check(wanted, system.containers)
    judge = wanted.judge(Stretch(0, 1, 0, EventLog().columns()))
    if judge.waiting or judge.probes(itertools.count(1)):
        raise BranchpointError(
            f"{wanted.name!r} cannot be searched for: its command would be part of each future",
            "let a service of the system run it, and look for what that says",
        )
    if judge.finish() is not None:
        raise BranchpointError(
            f"{wanted.name!r} cannot be searched for: a stretch does not tell what never comes",
            "let a service of the system wait for it, and look for what that says",
        )


def built_in() -> list[Failure]:
    """Failures that need no declaration.

    A container ends with a status other than 0, or by a signal, without being asked to (faults
    ask); a process is killed because memory ran out; an assertion of an SDK is violated; a test
    command fails; the whole machine ends, as after a kernel panic.
    """
    exits = Where(type="container.exit") - Where(fields={"asked": "1"})
    return [
        failure(exits - Where(fields={"code": "0", "signal": "0"}), name="unexpected exit"),
        failure(Where(type="container.oom"), name="out of memory"),
        failure(Where(type="sdk.assert", fields={"violated": "1"}), name="violated assertion"),
        failure(test="*", name="failed test command"),
        failure(Where(type="machine.end"), name="end of the machine"),
    ]


def declared(system: System) -> list[Failure]:
    """The properties of the compose file.

    :raises BranchpointError: with file and line, for one that is no failure or cannot be looked
        for.
    """
    found = []
    for name, (text, line) in system.properties.items():
        try:
            wanted = failure(text, name=name)
            check(wanted, system)
        except BranchpointError as problem:
            file, number = system.place(line)
            raise BranchpointError(
                f'{file}:{number}: property "{name}": {problem.message}', problem.hint
            ) from None
        found.append(wanted)
    return found
