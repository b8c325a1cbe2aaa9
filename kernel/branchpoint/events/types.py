"""All types of events: who reports them, what they mean, how they are marked.

Other modules read this table: for known names, completion, marks in pictures and in the panel.
A test compares it with the names in the agent and in the extension.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Sign = Literal["exit", "violation", "fault", "restart", "pause", "start", "health", "other"]
"""What a mark in a picture looks like; the most important comes first."""


class Type(NamedTuple):
    """One type of events."""

    name: str
    said_by: Literal["agent", "host", "both"]
    """The agent in the guest, or the host, which reads the agent's output (lines, assertions)."""
    meaning: str
    sign: Sign = "other"
    word: str = ""
    """A short name where there is little room; "" when it is not listed there."""


TYPES = {
    each.name: each
    for each in (
        Type("log", "both", "A line that a container, a command or the kernel wrote."),
        Type("setup.complete", "agent", "Everything is up: virtual time 0."),
        Type("container.start", "agent", "A container's process began.", "start", "start"),
        Type("container.exit", "agent", "It ended; code, signal, whether asked.", "exit", "exit"),
        Type("container.restart", "agent", "Its restart policy starts it again.", "restart"),
        Type("container.version", "agent", "It becomes another version.", "restart", "upgrade"),
        Type("container.oom", "agent", "The kernel killed processes in it, out of memory.",
             "exit", "out of memory"),
        Type("container.health", "agent", "The result of its health check changed.", "health"),
        Type("container.pause", "agent", "All its processes are paused.", "pause"),
        Type("container.unpause", "agent", "Its processes go on.", "pause"),
        Type("container.hold", "agent", "A program asks for a time without faults.", "fault",
             "no faults"),
        Type("fault.start", "agent", "A fault begins.", "fault", "fault"),
        Type("fault.end", "agent", "It is over, or was healed.", "fault", "fault ends"),
        Type("test.start", "agent", "A test command began.", "start", "test"),
        Type("test.exit", "agent", "It ended; code, signal, whether it was asked to end.", "other",
             "test ends"),
        Type("process.start", "agent", "A command of the user began."),
        Type("process.exit", "agent", "It ended."),
        Type("process.cut", "host", "It wrote too much: the rest is not kept line by line."),
        Type("file.written", "agent", "A file that was put into a branch is there."),
        Type("sdk.setup", "host", "A program says through an SDK that it is ready."),
        Type("sdk.assert", "host", "An assertion of an SDK held, or was violated."),
        Type("sdk.event", "host", "A program reports something through an SDK."),
        Type("sdk.info", "host", "What an SDK says about itself."),
        Type("sdk.code", "host", "A process runs code for the first time, as its SDK tells."),
        Type("clock.read", "agent", "The time of the guest's wall clock, for a capture."),
        Type("error", "both", "Something the user asked for could not be done."),
        Type("machine.end", "host", "The machine ended: off, reset, suspended, or a panic."),
        Type("agent.ready", "agent", "The agent has begun; long before virtual time 0."),
    )
}  # fmt: skip
"""By name."""


def sign(name: str) -> Sign:
    """The mark of an event of this type; recordings of other versions may have unknown types."""
    if name in TYPES:
        return TYPES[name].sign
    return "fault" if name.startswith("fault.") else "other"
