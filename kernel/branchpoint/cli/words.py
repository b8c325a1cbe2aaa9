"""The values that users type on the command line: durations, instants, queries; and its end."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from branchpoint.clock import Time, to_ns
from branchpoint.decoding import whole
from branchpoint.errors import BranchpointError, TimeError
from branchpoint.events import naming
from branchpoint.events.event import EventSet
from branchpoint.events.queries import Where
from branchpoint.timeline.failures import failure
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording

INSTANT_HELP = "12.5 (virtual seconds), failure, failure-1s, start+250ms, end, or a moment's id"
_KERNEL = "kernel"  # stands for the container of the kernel's log lines in lists of events
INTERRUPTED = 130  # 128 + SIGINT, as in shells
_ANCHORED = re.compile(r"(start|failure|end)\s*([+-].*)?")


@dataclass(frozen=True)
class Instant:
    """An instant as typed; what it means depends on the recording."""

    id: str = ""
    """The id of a moment, if one was typed."""
    anchor: str = ""
    """A named moment of the recording: start, failure or end."""
    time: Time = Time()  # noqa: RUF009 - it cannot be changed
    """Since vtime 0, or since the anchor."""

    @classmethod
    def parse(cls, text: str) -> Instant:
        try:
            if "@" in text:
                Time(text.partition("@")[2])
                return cls(id=text)
            match = _ANCHORED.fullmatch(text.strip())
            if match:
                return cls(anchor=match[1], time=Time((match[2] or "0").replace(" ", "")))
            return cls(time=Time(text))
        except TimeError:
            raise TimeError(f"{text!r} is not an instant", f"write {INSTANT_HELP}") from None

    def moment(self, run: Recording) -> Moment:
        """The moment of a recording that is meant.

        :raises BranchpointError: when the instant is outside of the recording, when nothing failed
            in it and a failure is meant, or when the id is unknown.
        """
        if not self.id and self._vtime(run) > run.end.vtime:
            raise TimeError(
                f"{self._vtime(run)} is after the end of {run.path.name}, {run.duration:.3f} s",
                "its last instant is: end; to see what comes later, let a command wait: "
                f"branchpoint run {shlex.quote(str(run.path))} --at end -- 'sleep 10; ...'",
            )
        return run.at(self.id or self._vtime(run))

    def bound(self, run: Recording) -> Moment | Time:
        """The same as the bound of a search; it may be outside of the recording."""
        return run.at(self.id) if self.id else self._vtime(run)

    def _vtime(self, run: Recording) -> Time:
        if not self.anchor:
            return self.time
        if self.anchor == "failure" and run.manifest.failure is None:
            raise BranchpointError(
                f"{run.path.name} ended without a failure ({run.manifest.ended})",
                "write end, or an instant that branchpoint events "
                f"{shlex.quote(str(run.path))} shows",
            )
        anchor: Moment = getattr(run, self.anchor)
        return Time.nanoseconds(anchor.at - run.origin) + self.time


def narrowed(run: Recording, who: Sequence[str], types: Sequence[str], **where: Any) -> EventSet:
    """The events of these containers (or "kernel") and types; empty means any.

    :raises BranchpointError: when there is no such container, or no such type.
    """
    for name in types:
        naming.check_type(name, run.events.columns)
    named = [name for name in who if name != _KERNEL]
    naming.check(Where(container=named), run.manifest.containers)
    found = run.events.where(
        type=[name for given in types for name in (given, f"container.{given}")] or None, **where
    )
    if not who:
        return found
    containers = found.where(container=named)
    return containers | found.where(source=_KERNEL) if _KERNEL in who else containers


def stop(message: str) -> NoReturn:
    """End as a program that was interrupted."""
    click.echo(message, err=True)
    sys.exit(INTERRUPTED)


def _duration(text: str) -> Time:
    ns = to_ns(text)
    if ns <= 0:
        raise TimeError(f"{text!r}: must be greater than 0")
    return Time.nanoseconds(ns)


def _wait(text: str) -> Time:
    ns = to_ns(text)
    if ns < 0:
        raise TimeError(f"{text!r}: must not be negative")
    return Time.nanoseconds(ns)


class _Parsed(click.ParamType[Any]):
    """A value that ``parse`` makes from a word; an error of ``parse`` becomes a usage error."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except BranchpointError as error:
            self.fail("; ".join(filter(None, (error.message, error.hint))), param, ctx)


def _workers(word: str) -> int | str:
    if "://" in word:
        return word
    count = whole(word)
    if not count:
        raise BranchpointError(
            f"{word!r} is neither a number of processes nor the address of a cluster",
            "for example 4, or tcp://10.0.0.1:8786",
        )
    return count


DURATION = _Parsed("time", _duration)
WAIT = _Parsed("time", _wait)
"""A duration that may be 0."""
WORKERS = _Parsed("workers", _workers)
SEED = click.IntRange(0, 2**63 - 1)
SEED.name = "whole number"  # in errors
INSTANT = _Parsed("instant", Instant.parse)
FAILURE = _Parsed("failure", failure)
