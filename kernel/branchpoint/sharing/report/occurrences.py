"""What lasts in a recording: lives of containers and faults, as stretches of time."""

from __future__ import annotations

from dataclasses import dataclass

from branchpoint.events.event import Event
from branchpoint.timeline.recording import Recording


@dataclass(frozen=True)
class Stretch:
    """Something that lasted; instants in absolute ns."""

    who: str
    """A container, or the target of a fault."""
    what: str
    """"running", or the kind of a fault."""
    start: int
    end: int
    """When it ended, or the end of the recording."""
    ended: Event | None = None
    """What ended it; None when nothing did."""


def lives(run: Recording) -> list[Stretch]:
    """Each time that a container ran, in the order of time."""
    found: list[Stretch] = []
    running: dict[str, Event] = {}
    for event in run.events.where(type=["container.start", "container.exit"]):
        begun = running.pop(event.container, None)
        if event.type == "container.start":
            running[event.container] = event
        else:
            start = begun.at if begun else run.earliest
            found.append(Stretch(event.container, "running", start, event.at, event))
    end = run.manifest.end
    found += [Stretch(name, "running", begun.at, end) for name, begun in running.items()]
    return sorted(found, key=lambda stretch: (stretch.start, stretch.who))


def faults(run: Recording) -> list[Stretch]:
    """Each fault that happened, in the order of time."""
    healed = {event.fields.get("id"): event for event in run.events.where(type="fault.end")}
    found = []
    for event in run.events.where(type="fault.start"):
        ended = healed.get(event.fields.get("id"))
        end = ended.at if ended and ended.at >= event.at else run.manifest.end
        kind, target = event.fields.get("type", "fault"), event.fields.get("target", "")
        found.append(Stretch(target or event.container, kind, event.at, end, ended))
    return found
