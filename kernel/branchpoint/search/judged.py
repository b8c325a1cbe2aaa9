"""What the assertions of programs say, judged over all timelines of an exploration.

A sometimes or reachable that was met in one timeline holds; an always or unreachable that was
violated in one does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from signal import SIGKILL
from typing import Literal

from branchpoint.search.composed import NO_COMMANDS, Commands, ended
from branchpoint.search.signs import Outcome, Signal, assertion
from branchpoint.search.tree import ROOT, Tree

Status = Literal["holds", "violated", "not met"]


_COMMAND = "command"
_KILLED = ("as asked", f"signal {SIGKILL.value}")
"""Ends of test commands that say nothing of them."""


@dataclass(frozen=True)
class Judged:
    """An assertion, over all timelines. Its examples are numbers of stretches; 0 is set-up."""

    message: str
    kind: str
    """always, always_or_unreachable, sometimes, reachable, unreachable; or ``command``: a test
    command, which must end with 0 once, and never otherwise unless it is killed."""
    true: int = 0
    """In how many stretches it was reached and its condition held."""
    false: int = 0
    """In how many it was reached and its condition did not hold."""
    example: int | None = None
    """The first stretch in which it held."""
    counterexample: int | None = None
    """The first one in which it did not."""

    @property
    def signal(self) -> Signal:
        """What has to be looked at to judge it."""
        return "events" if self.kind == _COMMAND else "assertions"

    @property
    def status(self) -> Status:
        """``not met``: nothing contradicts it, but it needs to be reached, or to hold once."""
        match self.kind:
            case "unreachable":
                return "violated" if self.true or self.false else "holds"
            case "always_or_unreachable":
                return "violated" if self.false else "holds"
            case "always" | "command" if self.false:
                return "violated"
            case "reachable":
                return "holds" if self.true or self.false else "not met"
        return "holds" if self.true else "not met"

    @property
    def where(self) -> str:
        """Where it is violated first, in words."""
        seen = [each for each in (self.counterexample, self.example) if each is not None]
        number = min(seen, default=0) if self.kind == "unreachable" else next(iter(seen), 0)
        return f"stretch {number}" if number else "set-up"

    def with_one(self, outcome: Outcome, number: int) -> Judged:
        """It, after one more stretch."""
        match outcome:
            case "true":
                example = number if self.example is None else self.example
                return replace(self, true=self.true + 1, example=example)
            case "false":
                example = number if self.counterexample is None else self.counterexample
                return replace(self, false=self.false + 1, counterexample=example)
        return self


def judge(tree: Tree, at_setup: Iterable[str], commands: Commands = NO_COMMANDS) -> list[Judged]:
    """All test commands, and all assertions that were declared or met, the first one first.

    ``at_setup`` are the signs of what happened up to set-up complete.
    """
    found = {(name, _COMMAND): Judged(name, _COMMAND) for name in commands.named}

    def take(sign: str, number: int) -> None:
        told = _assertion(sign)
        if told is not None:
            message, kind, outcome = told
            known = found.get((message, kind), Judged(message, kind))
            found[message, kind] = known.with_one(outcome, number)

    for sign in dict.fromkeys(at_setup):
        take(sign, ROOT)
    told = {n: sign for n, sign in enumerate(tree.signs) if _assertion(sign) is not None}
    for node in tree.nodes:
        for number in node.seen:
            if number in told:
                take(told[number], node.number)
    return list(found.values())


def _assertion(sign: str) -> tuple[str, str, Outcome] | None:
    """Message, kind and outcome of what a sign says of an assertion or of a test command."""
    end = ended(sign)
    if end is None:
        return assertion(sign)
    if end.how in _KILLED:
        return None
    return end.command, _COMMAND, "true" if end.how == "0" else "false"
