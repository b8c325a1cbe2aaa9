"""What must not happen in any future of a system, whatever it is."""

from __future__ import annotations

from branchpoint.events.queries import Where
from branchpoint.timeline.failures import Failure, failure


def built_in() -> list[Failure]:
    """Failures that need no declaration.

    A container ends with a status other than 0, or by a signal, without being asked to (faults
    ask); a process is killed because memory ran out; an assertion of an SDK is violated; the whole
    machine ends, as after a kernel panic.
    """
    exits = Where(type="container.exit") - Where(fields={"asked": "1"})
    return [
        failure(exits - Where(fields={"code": "0", "signal": "0"}), name="unexpected exit"),
        failure(Where(type="container.oom"), name="out of memory"),
        failure(Where(type="sdk.assert", fields={"violated": "1"}), name="violated assertion"),
        failure(Where(type="machine.end"), name="end of the machine"),
    ]
