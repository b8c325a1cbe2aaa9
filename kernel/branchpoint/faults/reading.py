"""Reads :class:`Settings` from a part of a compose file, or from a Python dict.

Values are text, as YAML gives it, or Python's own: numbers of seconds, shares of 1, bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from fnmatch import fnmatchcase
from numbers import Integral
from typing import Any, NoReturn

from branchpoint import units
from branchpoint.clock import to_ns
from branchpoint.errors import TimeError, near
from branchpoint.faults.kinds import (
    GUEST,
    KINDS,
    ContainerLike,
    Kind,
    Parameter,
    version_label,
    versions,
)
from branchpoint.faults.settings import ONE_WAY, Drawn, Range, Settings, SettingsError

Path = tuple[str | int, ...]

_LONGEST = 365 * 24 * 3600 * 10**9  # ns
_SHORTEST_MEAN = 10**6  # ns between two faults of a kind
_COMMAND = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_VERSIONS = 'what a container may become is listed as "versions" in its service\'s x-branchpoint'
_TRUE, _FALSE = (True, "true", "yes", "on", "always"), (False, "false", "no", "off", "never")


def read(
    written: Any, containers: Sequence[ContainerLike], path: Path = (), once: Any = None
) -> Settings:
    """The settings for a system of these containers.

    ``once`` are faults that happen at most once and are not in ``written``; ``path`` is where
    ``written`` is in the file, for errors.

    :raises SettingsError: when something in them is unknown or out of its bounds.
    """
    return Reader(containers).read(written, path, once)


class Reader:
    """Reads settings, or parts of them, for a system of these containers."""

    def __init__(self, containers: Sequence[ContainerLike]) -> None:
        self.containers = containers
        self.excluded: set[str] = set()

    def read(self, written: Any, path: Path, once: Any) -> Settings:
        body = self.mapping(written, path, "faults")
        self.keys(body, [*KINDS, "commands", "once", "exclude", "quiet"], path, "kind of fault")
        if "exclude" in body:
            self.excluded = set(self.names(body["exclude"], (*path, "exclude")))
        drawn = []
        for name, value in body.items():
            here = (*path, name)
            if name in KINDS:
                drawn.append(self.kind(KINDS[name], value, here))
            elif name == "commands":
                for command, said in self.mapping(value, here, "commands").items():
                    drawn.append(self.command(command, said, (*here, command)))
            elif name == "once":
                drawn += self.onces(value, here)
        if once is not None:
            drawn += self.onces(once, (*path[:-1], "fault"))
        quiet = self.quiet(body["quiet"], (*path, "quiet")) if "quiet" in body else ()
        return Settings(tuple(drawn), quiet)

    # -- one kind

    def kind(self, kind: Kind, written: Any, path: Path) -> Drawn:
        body = self.mapping(written, path, kind.name)
        names = [p.name for p in kind.parameters]
        whom = {
            "guest": [],
            "groups": ["groups", "containers", "exclude"],
            "versions": ["to", "containers", "exclude"],
        }
        known = ["every", *names, *whom.get(kind.hits, ["containers", "exclude"])]
        self.keys(body, known if kind.lasts == "never" else [*known, "for"], path, "setting")
        return Drawn(
            kind.name,
            tuple(self.targets(kind, body, path)),
            self.lasts(kind, body, path),
            every=self.every(body, path, kind.every),
            parameters=self.parameters(kind, body, path),
        )

    def command(self, name: Any, written: Any, path: Path) -> Drawn:
        if not isinstance(name, str) or not _COMMAND.fullmatch(name) or name in KINDS:
            raise SettingsError(f'"{name}" cannot be the name of a command', path,
                                "use a-z, 0-9, - and _, and not the name of a kind")  # fmt: skip
        body = self.mapping(written, path, name)
        self.keys(body, ["run", "heal", "every", "for", "containers"], path, "setting")
        if "run" not in body:
            raise SettingsError(f'the command "{name}" lacks "run"', path)
        run, heal = (self.script(body, key, path) for key in ("run", "heal"))
        if "containers" in body:
            labels = self.names(body["containers"], (*path, "containers"))
        else:
            labels = [GUEST]
        lasts = (0, 0)
        if "for" in body:
            lasts = self.time_range(body["for"], (*path, "for"), '"for"')
        if heal and not lasts[1]:
            raise SettingsError(
                f'the command "{name}" is over at once, so that "heal" never runs', path,
                'say how long it lasts: "for"',
            )  # fmt: skip
        every = self.every(body, path, 30 * 10**9)
        return Drawn(name, tuple(labels), lasts, every, run=run, heal=heal)

    def script(self, body: Mapping[str, Any], key: str, path: Path) -> str:
        script = body.get(key) or ""
        if not isinstance(script, str) or "\0" in script:
            raise SettingsError(f'"{key}" must be a shell script', (*path, key))
        return script

    def onces(self, written: Any, path: Path) -> list[Drawn]:
        if isinstance(written, list | tuple):
            return [self.once(one, (*path, number)) for number, one in enumerate(written)]
        return [self.once(written, path)]

    def once(self, written: Any, path: Path) -> Drawn:
        body = self.mapping(written, path, "fault")
        kinds = [key for key in body if key in KINDS]
        kind = KINDS[kinds[0]] if kinds else KINDS["kill"]
        names = [p.name for p in kind.parameters]
        known = [*KINDS, "between", "probability", "for", "restart_after", *names]
        known += ["to"] if kind.hits == "versions" else []
        self.keys(body, known, path, "setting")
        if len(kinds) > 1:
            raise SettingsError('"fault" names more than one kind', (*path, kinds[1]))
        for key in (kind.name, "between"):
            if key not in body:
                raise SettingsError(f'"fault" lacks "{key}"', path)
        between = self.window(body["between"], (*path, "between"), '"between"')
        probability = 1.0
        if "probability" in body:
            probability = self.number(body["probability"], (*path, "probability"), 0, 1)
        if "restart_after" in body:  # its name for a kill
            body = {"for": body["restart_after"], **body}
        target = (*path, kind.name)
        return Drawn(
            kind.name,
            (self.target(kind, body[kind.name], target, body.get("to")),),
            self.lasts(kind, body, path, once=True),
            between=between,
            probability=round(probability * 1_000_000),
            parameters=self.parameters(kind, body, path),
        )

    # -- its parts

    def every(self, body: Mapping[str, Any], path: Path, default: int) -> int:
        if "every" not in body:
            return default
        found = self.time(body["every"], (*path, "every"), '"every"')
        if found < _SHORTEST_MEAN:
            raise SettingsError('"every" must be at least 1ms', (*path, "every"))
        return found

    def lasts(self, kind: Kind, body: Mapping[str, Any], path: Path, once: bool = False) -> Range:
        if "for" not in body:
            return (0, 0) if once and kind.lasts != "must" else (kind.shortest, kind.longest)
        found = self.time_range(body["for"], (*path, "for"), '"for"')
        if kind.lasts == "never" and found != (0, 0):
            raise SettingsError(f'"{kind.name}" is over at once', (*path, "for"), 'remove "for"')
        if kind.lasts == "must" and found[0] == 0:
            raise SettingsError('"for" must be greater than 0', (*path, "for"))
        return found

    def parameters(self, kind: Kind, body: Mapping[str, Any], path: Path) -> dict[str, Range]:
        return {
            p.name: self.parameter(p, body[p.name], (*path, p.name))
            if p.name in body
            else (p.low, p.high)
            for p in kind.parameters
        }

    def parameter(self, parameter: Parameter, written: Any, path: Path) -> Range:
        if parameter.unit == "choice":
            for values, word in ((_TRUE, (1, 2)), (_FALSE, (0, 0)), (("sometimes",), (0, 2))):
                if any(written is v or (isinstance(v, str) and written == v) for v in values):
                    return word
            raise SettingsError(f'"{parameter.name}" cannot be "{written}"', path,
                                f"one of: {', '.join(ONE_WAY.values())}")  # fmt: skip
        ends = written if isinstance(written, list | tuple) else [written, written]
        if len(ends) != 2:
            raise SettingsError(f'"{parameter.name}" must be one value or two', path)
        low, high = (self.amount(parameter, end, (*path, n)) for n, end in enumerate(ends))
        if low > high:
            raise SettingsError(f'"{parameter.name}" must go from low to high', path)
        return low, high

    def amount(self, parameter: Parameter, written: Any, path: Path) -> int:
        """One value of a parameter, in its unit."""
        what = f'"{parameter.name}"'
        match parameter.unit:
            case "ns":
                found = self.time(written, path, what, signed=True)
            case "us":
                found = round(self.time(written, path, what) / 1000)
            case "ppm":
                found = self.share(written, path, what)
            case _:
                found = self.bytes(written, path, what)
        if not parameter.least <= found <= parameter.most:
            raise SettingsError(
                f"{what} must be {_bounds(parameter)}, not {_shown(written)}",
                path,
                parameter.sentence,
            )
        return found

    def time(self, written: Any, path: Path, what: str, signed: bool = False) -> int:
        """Nanoseconds of "1m30s", of a number of seconds, of a Time."""
        found: int | None = getattr(written, "ns", None)
        if isinstance(written, int | float) and not isinstance(written, bool):
            found = round(written * 10**9) if abs(written) < _LONGEST else _LONGEST + 1
        elif isinstance(written, str):
            found = units.nanoseconds(written)
        elif isinstance(written, timedelta | Decimal | Integral) and not isinstance(written, bool):
            with suppress(TimeError):
                found = to_ns(written)
        if found is None:
            raise SettingsError(
                f'{what} must be a duration, not "{_shown(written)}"', path, units.TIME_HINT
            )
        if abs(found) > _LONGEST:
            raise SettingsError(f"{what} is longer than a year", path)
        if found < 0 and not signed:
            raise SettingsError(f"{what} must not be negative", path)
        return found

    def share(self, written: Any, path: Path, what: str) -> int:
        """Parts per million of "12%", "0.12" or 0.12."""
        text = str(written).strip()
        match = re.fullmatch(r"(\d+(?:\.\d+)?(?:[eE][+-]?\d{1,3})?)\s*(%?)", text)
        if match is None or isinstance(written, bool):
            raise SettingsError(
                f'{what} must be a share, not "{_shown(written)}"', path, 'write "12%" or 0.12'
            )
        return units.scaled(Decimal(match[1]), 10_000 if match[2] else 1_000_000)

    def bytes(self, written: Any, path: Path, what: str) -> int:
        found = written if type(written) is int else units.size(str(written).strip())
        if found is None:
            raise SettingsError(
                f'{what} must be a size, not "{_shown(written)}"', path, 'write "256k" or "1m"'
            )
        return found

    def number(self, written: Any, path: Path, low: float, high: float) -> float:
        what = f'"{path[-1]}"'
        try:
            found = float(written)
        except (TypeError, ValueError):
            raise SettingsError(f'{what} must be a number, not "{_shown(written)}"', path) from None
        if not low <= found <= high:
            raise SettingsError(f"{what} must be between {low:g} and {high:g}", path)
        return found

    def time_range(self, written: Any, path: Path, what: str) -> Range:
        if not isinstance(written, list | tuple):
            length = self.time(written, path, what)
            return length, length
        return self.window(written, path, what)

    def window(self, written: Any, path: Path, what: str) -> Range:
        if not isinstance(written, list | tuple) or len(written) != 2:
            raise SettingsError(f"{what} needs two durations", path, "for example [20s, 100s]")
        first, last = (self.time(end, (*path, n), what) for n, end in enumerate(written))
        if first > last:
            raise SettingsError(f"{what} ends before it begins", path)
        return first, last

    def quiet(self, written: Any, path: Path) -> tuple[Range, ...]:
        if not isinstance(written, list | tuple):
            raise SettingsError('"quiet" must be a list', path, "for example [[0s, 5s]]")
        if len(written) == 2 and not any(isinstance(end, list | tuple) for end in written):
            return (self.window(written, path, '"quiet"'),)
        return tuple(self.window(w, (*path, n), '"quiet"') for n, w in enumerate(written))

    # -- what it hits

    def targets(self, kind: Kind, body: Mapping[str, Any], path: Path) -> list[str]:
        if "groups" in body:
            here = (*path, "groups")
            if not isinstance(body["groups"], list | tuple) or not body["groups"]:
                raise SettingsError('"groups" must be a list', here, "for example [[a, [b, c]]]")
            return [self.target(kind, one, (*here, n)) for n, one in enumerate(body["groups"])]
        labels = kind.labels(self.containers)
        if kind.hits == "versions":
            return self.versions(kind, body, labels, path)
        if "containers" in body:
            wanted = self.names(body["containers"], (*path, "containers"))
            for name in wanted:
                self.check_linked(kind, name, (*path, "containers"))
            labels = wanted
        without = set(self.excluded)
        if "exclude" in body:
            without |= set(self.names(body["exclude"], (*path, "exclude")))
        labels = [label for label in labels if label not in without]
        if kind.hits == "groups" and without:  # "all others" would be those, too
            rest = [c.name for c in self.containers if c.links and c.name not in without]
            sides = [(label, [name for name in rest if name != label]) for label in labels]
            labels = [f"{label}|{','.join(others)}" for label, others in sides if others]
        if not labels:
            raise SettingsError(f'there is no container that "{kind.name}" may hit', path)
        return labels

    def versions(
        self, kind: Kind, body: Mapping[str, Any], labels: list[str], path: Path
    ) -> list[str]:
        """The labels of containers with versions, as far as they are chosen."""
        chosen = {name for name, _ in map(versions, labels)}
        if "containers" in body:
            chosen &= set(self.names(body["containers"], (*path, "containers")))
        chosen -= self.excluded
        if "exclude" in body:
            chosen -= set(self.names(body["exclude"], (*path, "exclude")))
        if "to" in body:
            to = body["to"]
            wanted = [to] if isinstance(to, str) else self.sequence(to, (*path, "to"))
            known = {version for _, version in map(versions, labels)}
            for version in wanted:
                if version not in known:
                    message = f'no container can become "{_shown(version)}"'
                    raise SettingsError(message, (*path, "to"), near(str(version), known))
            labels = [label for label in labels if versions(label)[1] in wanted]
        labels = [label for label in labels if versions(label)[0] in chosen]
        if not labels:
            raise SettingsError(
                f'there is no container that "{kind.name}" may hit', path, _VERSIONS
            )
        return labels

    def version(self, name: Any, version: Any, path: Path) -> str:
        """The label of one container and what it is to become."""
        found = next(c for c in self.containers if c.name == self.single(name, path))
        known = [*found.versions, found.service]
        if version not in known:
            message = f'"{found.name}" cannot become "{_shown(version)}"'
            hint = near(str(version), known) if found.versions else ""
            raise SettingsError(message, path, hint or _VERSIONS)
        return version_label(found.name, version)

    def single(self, written: Any, path: Path) -> str:
        """The full name of one container."""
        found = self.names([written], path)
        if len(found) > 1:
            raise SettingsError(f'"{written}" has {len(found)} containers', path,
                                f"name one: {', '.join(found[:4])}")  # fmt: skip
        return found[0]

    def target(self, kind: Kind, written: Any, path: Path, to: Any = None) -> str:
        """The label of one target: a container, the guest, or two groups of containers.

        ``to``: what the container becomes, for those that can.
        """
        if kind.hits == "guest":
            return GUEST
        if kind.hits == "versions":
            return self.version(written, to, path)
        if kind.hits != "groups":
            found = self.single(written, path)
            self.check_linked(kind, found, path)
            return found
        sides = written if isinstance(written, list | tuple) else [written]
        if not 1 <= len(sides) <= 2:
            raise SettingsError("a partition has two groups", path, "for example [a, [b, c]]")
        named = [self.names(side, path) for side in sides]
        both = set(named[0]) & set(named[-1] if len(named) > 1 else ())
        if both:
            raise SettingsError(f'"{min(both)}" is on both sides of the partition', path)
        for name in {name for side in named for name in side}:
            self.check_linked(kind, name, path)
        return "|".join(",".join(side) for side in named)

    def check_linked(self, kind: Kind, name: str, path: Path) -> None:
        linked = any(c.links for c in self.containers if c.name == name)
        if kind.hits in ("links", "groups") and not linked:
            raise SettingsError(f'"{name}" is not in any network', path)

    def names(self, written: Any, path: Path) -> list[str]:
        """Full names of containers that are given by name, by service, or by a pattern."""
        found: dict[str, None] = {}
        listed = [written] if isinstance(written, str) else self.sequence(written, path)
        for number, name in enumerate(listed):
            where = (*path, number)
            if not isinstance(name, str):
                raise SettingsError(f'"{_shown(name)}" is not the name of a container', where)
            here = [c.name for c in self.containers if c.name == name]
            here = here or [
                c.name
                for c in self.containers
                if fnmatchcase(c.name, name) or fnmatchcase(c.service, name)
            ]
            if not here:
                known = [n for c in self.containers for n in (c.name, c.service)]
                raise SettingsError(f'there is no container "{name}"', where, near(name, known))
            found.update(dict.fromkeys(here))
        return list(found)

    # -- shapes

    def sequence(self, written: Any, path: Path) -> Sequence[Any]:
        if not isinstance(written, list | tuple) or not written:
            raise SettingsError("must be the name of a container, or a list of names", path)
        return written

    def mapping(self, written: Any, path: Path, what: str) -> dict[str, Any]:
        if written is None:
            return {}
        if not isinstance(written, Mapping):
            shape = "a list" if isinstance(written, list | tuple) else f'"{_shown(written)}"'
            hint = 'for example "kill: {every: 30s}"' if what == "faults" else ""
            raise SettingsError(f'"{what}" must be a mapping, not {shape}', path, hint)
        return dict(written)

    def keys(self, body: Mapping[Any, Any], known: Iterable[str], path: Path, what: str) -> None:
        known = list(known)
        for key in body:
            if key not in known:
                where = f' in "{path[-1]}"' if path else ""
                self.unknown(f'unknown {what} "{_shown(key)}"{where}', str(key), known, path)

    def unknown(self, message: str, key: str, known: list[str], path: Path) -> NoReturn:
        raise SettingsError(message, (*path, key), near(key, known))


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _bounds(parameter: Parameter) -> str:
    """What a parameter may be: "1% to 100%"."""
    ends = (parameter.least, parameter.most)
    match parameter.unit:
        case "ns":
            low, high = (units.time_text(end) for end in ends)
        case "us":
            low, high = (units.time_text(end * 1000) for end in ends)
        case "ppm":
            low, high = (f"{end / 10_000:g}%" for end in ends)
        case _:
            low, high = (units.size_text(end) for end in ends)
    return f"{low} to {high}"
