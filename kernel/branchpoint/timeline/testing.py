"""How the test of a timeline is ended, where a system has test commands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from branchpoint.errors import BranchpointError
from branchpoint.guest import wire
from branchpoint.store.manifest import ContainerFacts, Input
from branchpoint.system.bundle.templates import command_kind
from branchpoint.timeline.replaying.history import TEST

ENDINGS: tuple[Literal["eventually", "finally"], ...] = ("eventually", "finally")
"""The kinds of test commands that end a test."""


def ending(at: int, kind: str) -> Input:
    """The input that ends a test at ``at`` (absolute ns) with a command of that kind."""
    return Input(at=at, kind=TEST, data=wire.finish_test(kind), note=f"end of the test: {kind}_")


def check(containers: Iterable[ContainerFacts], kind: str) -> None:
    """Refuse to end a test in a way for which there is no command.

    :raises BranchpointError: in words.
    """
    if kind not in ENDINGS:
        raise BranchpointError(f"a test cannot end {kind!r}", 'write "eventually" or "finally"')
    tests = [test for each in containers for test in each.tests]
    if not any(command_kind(test.partition("/")[2]) == kind for test in tests):
        there = f"its test commands are {', '.join(tests[:5])}" if tests else "it has none"
        raise BranchpointError(f"this system has no test command {kind}_…", there)
