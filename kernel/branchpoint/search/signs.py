"""What can be seen of a stretch: all that an exploration knows about what a system does.

A sign is a short text that is equal in two futures when the same kind of thing happens in both: the
template of a line (numbers in it are "#"), or an event of a container's life, a fault, or a
violated assertion.
"""

from __future__ import annotations

from branchpoint.events.event import LOG, Event
from branchpoint.futures.running.future import line_signature, signature


def sign(event: Event) -> str:
    """The sign of an event; "" when it has none."""
    return line_signature(event) if event.type == LOG else signature(event)
