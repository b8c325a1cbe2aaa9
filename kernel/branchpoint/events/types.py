"""The types of events that there are: who says them, what they mean, how they are marked.

All others draw from here: which names are known, completion, marks in pictures and in the panel.
A test holds the agent's own words, and the names in the extension, against this table.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Sign = Literal["exit", "violation", "fault", "restart", "pause", "start", "health", "other"]
"""What a mark in a picture looks like; what matters most comes first."""


class Type(NamedTuple):
    """One type of events."""

    name: str
    said_by: Literal["agent", "host", "both"]
    """The agent in the guest, or what reads it on the host (a log's lines, an SDK's assertions)."""
    meaning: str
    sign: Sign = "other"
    word: str = ""
    """What it is called where there is little room; "": it is not listed there."""


TYPES = {
    each.name: each
    for each in (
        Type("log", "both", "A line that a container, a command or the kernel wrote."),
        Type("setup.complete", "agent", "Everything is up: virtual time 0."),
        Type("container.start", "agent", "A container's process began.", "start", "start"),
        Type("container.exit", "agent", "It ended; code, signal, whether asked.", "exit", "exit"),
        Type("container.restart", "agent", "Its restart policy starts it again.", "restart"),
        Type("container.oom", "agent", "The kernel killed processes in it, out of memory.",
             "exit", "out of memory"),
        Type("container.health", "agent", "Its health check says otherwise than before.", "health"),
        Type("container.pause", "agent", "All its processes stand still.", "pause"),
        Type("container.unpause", "agent", "They go on.", "pause"),
        Type("fault.start", "agent", "A fault begins.", "fault", "fault"),
        Type("fault.end", "agent", "It is over, or was healed.", "fault", "fault ends"),
        Type("process.start", "agent", "A command that somebody asked for began."),
        Type("process.exit", "agent", "It ended."),
        Type("process.cut", "host", "It wrote so much that the rest is not kept line by line."),
        Type("file.written", "agent", "A file that was put into a branch is there."),
        Type("sdk.setup", "host", "A program says, by an SDK, that it is ready."),
        Type("sdk.assert", "host", "An assertion of an SDK held, or was violated."),
        Type("sdk.event", "host", "A program tells something by an SDK."),
        Type("sdk.info", "host", "What an SDK says of itself."),
        Type("clock.read", "agent", "What the guest's wall clock shows, for a capture."),
        Type("error", "both", "Something that was asked for could not be done."),
        Type("machine.end", "host", "The machine ended: off, reset, suspended, or a panic."),
        Type("agent.ready", "agent", "The agent has begun; long before virtual time 0."),
    )
}  # fmt: skip
"""By name."""


def sign(name: str) -> Sign:
    """What a mark of such an event looks like; other programs' recordings may have other types."""
    if name in TYPES:
        return TYPES[name].sign
    return "fault" if name.startswith("fault.") else "other"
