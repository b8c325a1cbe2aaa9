"""``x-branchpoint``: what the compose file says to the recorder.

::

    x-branchpoint:
      ram: 1g             # of the machine
      upper: 256m         # of each container's writable layer
      images:             # archives that stand for names of images
        redis:7: ./images/redis.tar
      fault:              # or a list of them
        kill: primary.tip-retransmitter
        between: [20s, 100s]    # from setup complete; the seed chooses the instant
        probability: 0.8        # 1 unless given
        restart_after: 2s       # never unless given
"""

from __future__ import annotations

from dataclasses import dataclass, field

from branchpoint.system import fields
from branchpoint.system.model import Container, Fault
from branchpoint.system.yamltree import Sequence, Value

KEY = "x-branchpoint"
_ALIGNMENT = 64 << 20


@dataclass(frozen=True)
class Declared:
    """Sizes in bytes."""

    ram: int = 1 << 30
    upper: int = 256 << 20
    faults: tuple[Fault, ...] = ()
    images: dict[str, str] = field(default_factory=dict)


def read_declared(value: Value | None, containers: list[Container]) -> Declared:
    """Check the section; faults must name containers that exist."""
    if value is None:
        return Declared()
    body = fields.mapping(value, f'"{KEY}"')
    fields.check_keys(body, ["ram", "upper", "fault", "images"], f'"{KEY}"')
    entries = body.entries
    ram, upper = Declared.ram, Declared.upper
    if "ram" in entries:
        ram = fields.size(entries["ram"], '"ram"')
        if not 256 << 20 <= ram <= 64 << 30 or ram % _ALIGNMENT:
            raise entries["ram"].error('"ram" must be a multiple of 64m between 256m and 64g')
    if "upper" in entries:
        upper = fields.size(entries["upper"], '"upper"')
        if not 1 << 20 <= upper <= ram:
            raise entries["upper"].error('"upper" must be between 1m and the size of "ram"')
    faults: list[Fault] = []
    if "fault" in entries:
        written = entries["fault"]
        for item in written.items if isinstance(written, Sequence) else [written]:
            faults.append(_fault(item, containers))
    images: dict[str, str] = {}
    for name, archive in fields.items(entries["images"], '"images"') if "images" in entries else []:
        images[name] = fields.text(archive, f'the archive of "{name}"')
    return Declared(ram, upper, tuple(faults), images)


def _fault(value: Value, containers: list[Container]) -> Fault:
    body = fields.mapping(value, '"fault"')
    fields.check_keys(body, ["kill", "between", "probability", "restart_after"], '"fault"')
    entries = body.entries
    for key in ("kill", "between"):
        if key not in entries:
            raise body.error(f'"fault" lacks "{key}"')
    window = fields.sequence(entries["between"], '"between"').items
    if len(window) != 2:
        raise entries["between"].error('"between" needs two durations', "for example [20s, 100s]")
    earliest, latest = (fields.duration(item, '"between"') for item in window)
    if earliest > latest:
        raise entries["between"].error('"between" ends before it begins')
    probability = 1.0
    if "probability" in entries:
        probability = fields.number(entries["probability"], '"probability"', 0, 1)
    restart_after = None
    if "restart_after" in entries:
        restart_after = fields.duration(entries["restart_after"], '"restart_after"')
    name = _container(entries["kill"], containers)
    return Fault(name, earliest, latest, probability, restart_after, body.line)


def _container(value: Value, containers: list[Container]) -> str:
    name = fields.text(value, '"kill"')
    exact = [c.name for c in containers if c.name == name]
    for found in (exact, [c.name for c in containers if c.service == name]):
        if len(found) == 1:
            return found[0]
        if found:
            raise value.error(
                f'"{name}" has {len(found)} replicas', f"name one: {', '.join(found[:4])}"
            )
    known = [c.name for c in containers] + [c.service for c in containers]
    raise fields.missing(value, "container", name, dict.fromkeys(known))
