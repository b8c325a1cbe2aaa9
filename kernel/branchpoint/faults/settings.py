"""Which faults may happen, how often and to what: as data, and in the words of a compose file.

In a compose file (all but the names of kinds may be left out)::

    kill: {every: 30s, for: [1s, 5s], containers: [server, "node*"], exclude: [node3]}
    latency: {delay: [50ms, 500ms]}
    partition: {one_way: sometimes, groups: [[node1, [node2, node3]]]}
    upgrade: {containers: [node1, node2], to: store-2}
    commands: {compact: {run: etcdctl compact 1, heal: "", every: 1m, containers: [node1]}}
    once: [{stop: server, between: [20s, 30s], probability: 0.8, for: 2s}]
    exclude: [client]       # random faults do not hit it
    quiet: [[0s, 5s]]       # no fault begins in these windows, counted from set-up complete
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from branchpoint.errors import BranchpointError
from branchpoint.faults.kinds import GUEST, KINDS, Parameter, groups, versions
from branchpoint.units import size_text, time_text

Range = tuple[int, int]

_PLAIN = re.compile(r"[A-Za-z0-9_./][\w ./%+-]*")

ONE_WAY = {(0, 0): "never", (0, 2): "sometimes", (1, 2): "always"}


class SettingsError(BranchpointError):
    """Invalid settings; ``path`` (keys and positions in lists) leads to what is wrong."""

    def __init__(self, message: str, path: tuple[str | int, ...], hint: str = "") -> None:
        super().__init__(message, hint)
        self.path = path


@dataclass(frozen=True)
class Drawn:
    """Faults of one kind that happen by themselves, again and again or once.

    ``every``: mean time (ns) between two; 0 when it happens at most once, with ``probability``
    (ppm), at an instant in ``between`` (ns since set-up was complete). ``lasts``: how long (ns).
    ``parameters`` are drawn from these ranges, in the units of the kind. ``targets`` are full
    names of containers, ``(guest)``, or groups such as ``a,b|c``. ``run`` and ``heal`` are the
    scripts of a command from the settings.
    """

    kind: str
    targets: tuple[str, ...]
    lasts: Range
    every: int = 0
    between: Range = (0, 0)
    probability: int = 1_000_000
    parameters: dict[str, Range] = field(default_factory=dict)
    run: str = ""
    heal: str = ""

    def words(self) -> dict[str, Any]:
        """These faults, as a compose file writes them."""
        said: dict[str, Any] = {}
        if self.every:
            said["every"] = time_text(self.every)
        else:
            said["between"] = [time_text(at) for at in self.between]
            if self.probability < 1_000_000:
                said["probability"] = self.probability / 1_000_000
        if self.lasts != (0, 0):
            said["for"] = _range([time_text(length) for length in self.lasts])
        if self.run:
            said |= {"run": self.run, "heal": self.heal} if self.heal else {"run": self.run}
        for parameter in KINDS[self.kind].parameters if self.kind in KINDS else ():
            said[parameter.name] = words(parameter, self.parameters[parameter.name])
        return said


@dataclass(frozen=True)
class Settings:
    """All faults that may happen by themselves; ``print`` shows them as a compose file would.

    ``quiet`` are windows (ns since set-up was complete) in which none begins.
    """

    drawn: tuple[Drawn, ...] = ()
    quiet: tuple[Range, ...] = ()

    def words(self) -> dict[str, Any]:
        """The settings, as a compose file and ``branch.faults.settings = ...`` write them."""
        said: dict[str, Any] = {}
        for one in self.drawn:
            body = one.words()
            if not one.every:
                for label in one.targets[:1]:
                    body = {**_target(one.kind, label), **body}
                said.setdefault("once", []).append(body)
                continue
            if one.kind == "partition":
                body["groups"] = [_target(one.kind, label)[one.kind] for label in one.targets]
            elif one.kind == "upgrade":
                pairs = [versions(label) for label in one.targets]
                body["containers"] = list(dict.fromkeys(name for name, _ in pairs))
                body["to"] = list(dict.fromkeys(version for _, version in pairs))
            elif one.targets != (GUEST,):
                body["containers"] = list(one.targets)
            if one.kind in KINDS:
                said[one.kind] = body
            else:
                said.setdefault("commands", {})[one.kind] = body
        if self.quiet:
            said["quiet"] = [[time_text(at) for at in window] for window in self.quiet]
        return said

    def __str__(self) -> str:
        lines = []
        for key, value in self.words().items():
            if isinstance(value, list):
                lines += [f"{key}:", *(f"  - {_flow(entry)}" for entry in value)]
            elif key == "commands":
                lines += [f"{key}:", *(f"  {name}: {_flow(one)}" for name, one in value.items())]
            else:
                lines.append(f"{key}: {_flow(value)}")
        return "\n".join(lines) or "{}"


NOTHING = Settings()
"""No faults happen by themselves."""


def words(parameter: Parameter, value: Range) -> Any:
    """A range of a parameter, as a compose file writes it."""
    if parameter.name == "one_way":
        return ONE_WAY.get(value, value)
    return _range([amount(parameter, number) for number in value])


def amount(parameter: Parameter, value: int) -> str:
    """A value of a parameter, as people write it."""
    match parameter.unit:
        case "ns":
            return time_text(value)
        case "us":
            return time_text(value * 1000)
        case "ppm":
            return f"{value // 10_000}.{value % 10_000:04d}".rstrip("0").rstrip(".") + "%"
        case "bytes":
            return size_text(value)
        case "choice":
            return str(value)


def _range(ends: list[str]) -> Any:
    return ends[0] if ends[0] == ends[1] else ends


def _target(kind: str, label: str) -> dict[str, Any]:
    """The keys of a fault that say what it hits."""
    if kind == "upgrade":
        name, version = versions(label)
        return {kind: name, "to": version}
    if kind != "partition":
        return {kind: label}
    sides = [side[0] if len(side) == 1 else side for side in groups(label) if side]
    return {kind: sides[0] if len(sides) == 1 and isinstance(sides[0], str) else sides}


def _flow(value: Any) -> str:
    """As YAML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(inner) for inner in value) + "]"
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
