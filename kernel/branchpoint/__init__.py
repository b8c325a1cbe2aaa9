"""Time-travel debugging of whole distributed systems, from recorded deterministic runs.

import branchpoint as bp
run = bp.open("system.branchpoint")
branch = run.failure.rewind(seconds=1).branch()
print(bp.bash("ps aux").run(branch, "server.1"))
"""

from __future__ import annotations

from branchpoint import views
from branchpoint.background import jobs
from branchpoint.clock import Time
from branchpoint.errors import (
    BranchpointError,
    ComposeError,
    ContainerError,
    DivergenceError,
    GuestEnded,
    ImageError,
    MachineError,
    ProcessTimeout,
    RecordingError,
    SetupError,
    TimeError,
)
from branchpoint.events.event import Event, EventSet
from branchpoint.futures.recording import Recording, record
from branchpoint.search.exploration import Exploration
from branchpoint.search.exploring import explore
from branchpoint.sharing.bundle.opening import open_recording as open
from branchpoint.sharing.bundle.share import share
from branchpoint.sharing.proof.rerun import verify_notebook
from branchpoint.sharing.proof.verify import verify
from branchpoint.sharing.report.export import export
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.commands.process import Process, bash
from branchpoint.timeline.commands.terminal import Terminal
from branchpoint.timeline.failures import Failure, failure
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.replaying.checking import self_check

__all__ = [
    "Branch",
    "BranchpointError",
    "ComposeError",
    "ContainerError",
    "DivergenceError",
    "Event",
    "EventSet",
    "Exploration",
    "Failure",
    "GuestEnded",
    "ImageError",
    "MachineError",
    "Moment",
    "Process",
    "ProcessTimeout",
    "Recording",
    "RecordingError",
    "SetupError",
    "Terminal",
    "Time",
    "TimeError",
    "bash",
    "explore",
    "export",
    "failure",
    "jobs",
    "open",
    "record",
    "self_check",
    "share",
    "verify",
    "verify_notebook",
]

views.install()
