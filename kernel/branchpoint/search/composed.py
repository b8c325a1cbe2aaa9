"""Test commands in an exploration: which there are, what was seen of them, how a test can end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from branchpoint.store.manifest import ContainerFacts
from branchpoint.system.bundle.templates import command_kind
from branchpoint.timeline.testing import ENDINGS

Ending = Literal["", "eventually", "finally"]
"""How a stretch ends the test of its timeline; mostly it does not."""
_DRIVERS = ("parallel", "serial", "singleton")


class Ended(NamedTuple):
    """What was seen of the end of a test command."""

    command: str
    """With its container in front."""
    how: str
    """Its exit code, or what killed it."""


@dataclass(frozen=True)
class Commands:
    """The test commands of a system."""

    named: tuple[str, ...] = ()
    """``CONTAINER TEMPLATE/NAME`` of each."""

    @classmethod
    def of(cls, containers: Iterable[ContainerFacts]) -> Commands:
        """Those of these containers."""
        return cls(tuple(f"{each.name} {test}" for each in containers for test in each.tests))

    def endings(self, template: str) -> tuple[Ending, ...]:
        """How a test with this template can be ended."""
        kinds = {
            command_kind(name)
            for each in self.named
            for of, _, name in [each.partition(" ")[2].partition("/")]
            if of == template
        }
        return tuple(ending for ending in ENDINGS if ending in kinds)


NO_COMMANDS = Commands()


def driven(sign: str) -> str:
    """The template of which a driver began, if this is the sign of it; else ""."""
    match sign.split():
        case ["test", "begins", _, command]:
            template, _, name = command.partition("/")
            return template if command_kind(name) in _DRIVERS else ""
    return ""


def ended(sign: str) -> Ended | None:
    """The test command whose end this sign tells, and how it ended."""
    match sign.split(maxsplit=4):
        case ["test", "ends", container, command, how]:
            return Ended(f"{container} {command}", how)
    return None
