"""Time-travel debugging of whole distributed systems, from recorded deterministic runs.

import branchpoint as bp
run = bp.open("system.branchpoint")
branch = run.failure.rewind(seconds=1).branch()
print(bp.bash("ss -tnp").run(branch, "server.1"))
"""

from __future__ import annotations

from branchpoint.errors import (
    BranchpointError,
    ComposeError,
    ContainerError,
    DivergenceError,
    ImageError,
    MachineError,
    ProcessTimeout,
    RecordingError,
    SetupError,
    TimeError,
)
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.clock import Time
from branchpoint.timeline.events import Event, EventSet
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.process import Process, bash
from branchpoint.timeline.record import open_recording as open
from branchpoint.timeline.record import record
from branchpoint.timeline.recording import Recording

__all__ = [
    "Branch",
    "BranchpointError",
    "ComposeError",
    "ContainerError",
    "DivergenceError",
    "Event",
    "EventSet",
    "ImageError",
    "MachineError",
    "Moment",
    "Process",
    "ProcessTimeout",
    "Recording",
    "RecordingError",
    "SetupError",
    "Time",
    "TimeError",
    "bash",
    "open",
    "record",
]
