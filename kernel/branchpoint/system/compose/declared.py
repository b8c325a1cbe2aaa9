"""``x-branchpoint``: settings for the recorder in the compose file.

::

    x-branchpoint:
      ram: 1g             # of the machine, at most 3g
      cpu: 500MHz         # 1GHz, 500MHz, 250MHz or 125MHz: the slower, the less a busy second costs
      upper: 256m         # of each container's writable layer
      images:             # image name -> archive to use for it
        redis:7: ./images/redis.tar
      fault:              # or a list: faults that happen at most once
        kill: primary.tip-retransmitter
        between: [20s, 100s]    # from setup complete; the seed chooses the instant
        probability: 0.8        # 1 unless given
        restart_after: 2s       # never unless given
      faults:             # faults that happen repeatedly, see branchpoint.faults.settings
        latency: {every: 30s, for: [1s, 10s], delay: [50ms, 500ms]}
        exclude: [client]
      noise: {every: 5ms, longest: 1ms}     # or true: other work takes the processor at times
      setup: sdk          # complete only when a program says so through an Antithesis SDK
      properties:         # what must not happen, for branchpoint explore
        lost write: log:client:lost

A service has a section of this name, too::

    x-branchpoint:
      timer_slack: 500us  # how late its timers may fire, so that one wake-up serves several
      versions: [store-2] # services whose image and settings its containers may take over, by the
                          # fault "upgrade"; give them "scale: 0"
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from branchpoint.faults.settings import NOTHING, Settings
from branchpoint.machine.spec import Mhz
from branchpoint.system.compose.faults import read_faults
from branchpoint.system.compose.tree import fields
from branchpoint.system.compose.tree.yamltree import Mapping, Value
from branchpoint.system.model import SECOND, ContainerSpec, Noise

KEY = "x-branchpoint"
_ALIGNMENT = 64 << 20
MOST_RAM = 3 << 30
"""The most that fits below the hole for devices in a PC's memory map."""
_SPEEDS: dict[str, Mhz] = {"1GHz": 1000, "500MHz": 500, "250MHz": 250, "125MHz": 125}
_MOST_SLACK = SECOND


@dataclass(frozen=True)
class Declared:
    """The section of the file, checked; sizes in bytes."""

    ram: int = 1 << 30
    mhz: Mhz = 1000
    upper: int = 256 << 20
    faults: Settings = NOTHING
    noise: Noise | None = None
    setup: str = "healthy"
    images: dict[str, str] = field(default_factory=dict)
    properties: dict[str, tuple[str, int]] = field(default_factory=dict)
    """See :class:`~branchpoint.system.model.System`."""


def read_declared(value: Value | None, containers: list[ContainerSpec]) -> Declared:
    """Check the section; faults must name containers that exist.

    :raises ComposeError: with file and line, for what is wrong in it.
    """
    if value is None:
        return Declared()
    body = fields.mapping(value, f'"{KEY}"')
    known = ["ram", "cpu", "upper", "fault", "faults", "noise", "setup", "images", "properties"]
    fields.check_keys(body, known, f'"{KEY}"')
    entries = body.entries
    ram, mhz, upper = Declared.ram, Declared.mhz, Declared.upper
    if "ram" in entries:
        ram = fields.size(entries["ram"], '"ram"')
        if not 256 << 20 <= ram <= MOST_RAM or ram % _ALIGNMENT:
            raise entries["ram"].error(
                f'"ram" must be a multiple of 64m between 256m and {MOST_RAM >> 30}g'
            )
    if "cpu" in entries:
        mhz = _SPEEDS[fields.choice(entries["cpu"], '"cpu"', list(_SPEEDS))]
    if "upper" in entries:
        upper = fields.size(entries["upper"], '"upper"')
        if not 1 << 20 <= upper <= ram:
            raise entries["upper"].error('"upper" must be between 1m and the size of "ram"')
    faults = read_faults(body, containers)
    noise = _noise(entries["noise"]) if "noise" in entries else None
    setup = Declared.setup
    if "setup" in entries:
        setup = fields.choice(entries["setup"], '"setup"', ["healthy", "sdk"])
    images: dict[str, str] = {}
    for name, archive in fields.items(entries["images"], '"images"') if "images" in entries else []:
        images[name] = fields.text(archive, f'the archive of "{name}"')
    properties: dict[str, tuple[str, int]] = {}
    if "properties" in entries:
        for name, wanted in fields.items(entries["properties"], '"properties"'):
            properties[name] = fields.text(wanted, f'property "{name}"'), wanted.line
    return Declared(ram, mhz, upper, faults, noise, setup, images, properties)


def read_own(value: Value) -> dict[str, Any]:
    """A service's section, as arguments of :class:`~branchpoint.system.model.Service`.

    :raises ComposeError: with file and line, for what is wrong in it.
    """
    what = f'"{KEY}" of a service'
    body = fields.mapping(value, what)
    fields.check_keys(body, ["timer_slack", "versions"], what)
    found: dict[str, Any] = {}
    if "timer_slack" in body.entries:
        slack = body.entries["timer_slack"]
        found["timer_slack"] = fields.duration(slack, '"timer_slack"')
        if not 1 <= found["timer_slack"] <= _MOST_SLACK:
            raise slack.error('"timer_slack" must be between 1ns and 1s', "for example 500us")
    if "versions" in body.entries:
        named = fields.sequence(body.entries["versions"], '"versions"').items
        read = {fields.text(each, 'each of "versions"'): each.line for each in named}
        found["versions"] = tuple(read.items())
    return found


def _noise(value: Value) -> Noise | None:
    if not isinstance(value, Mapping):
        return Noise() if fields.boolean(value, '"noise"') else None
    fields.check_keys(value, ["every", "longest"], '"noise"')
    noise = Noise()
    if "every" in value.entries:
        noise = replace(noise, every=fields.duration(value.entries["every"], '"every"'))
    if "longest" in value.entries:
        noise = replace(noise, longest=fields.duration(value.entries["longest"], '"longest"'))
    if noise.every < 100_000 or not 1_000 <= noise.longest <= SECOND:
        raise value.error(
            '"every" must be at least 100us, and "longest" between 1us and 1s',
            "for example {every: 5ms, longest: 1ms}",
        )
    return noise
