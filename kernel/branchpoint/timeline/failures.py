"""What counts as a failure: a condition on a future, checked while the future runs.

A :class:`Failure` is a description, made by :func:`failure`; it can be sent to another process and
compared by its ``key``. Its :class:`~branchpoint.timeline.judges.Judge` is fed the events of one
future as they come and says at which instant it failed.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import signal as signals
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from blake3 import blake3

from branchpoint.clock import to_ns
from branchpoint.errors import BranchpointError
from branchpoint.events import following
from branchpoint.events.event import Event, EventSet
from branchpoint.events.queries import Query, Where, achieved, failed_test, parse_query, violated
from branchpoint.timeline.judges import (
    CheckJudge,
    CombinedJudge,
    CommandJudge,
    Judge,
    MissingJudge,
    QueryJudge,
    SilenceJudge,
    Stretch,
)

_PATIENCE = 60  # virtual seconds that a command of a failure may take
_DEEPEST = 12  # levels of things in things that a key covers


class Failure:
    """Something that may happen in a future and must not. Made by :func:`failure`.

    ``a | b`` is the failure when any of the two happens, ``a & b`` when both do.
    """

    label: str
    """Its name, as given or made of what it looks for."""

    @property
    def name(self) -> str:
        """What it is, in one line."""
        return self.label

    @property
    def key(self) -> str:
        """A digest that is equal for equal failures, in any process.

        For a Python function it covers name, code and the simple values of its closure; another
        version of Python may compile the same text to other code.
        """
        return blake3(_described(self).encode()).hexdigest(16)

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        """A judge for one future; ``with_past``: what happened from vtime 0 on counts too."""
        raise NotImplementedError

    def __or__(self, other: Any) -> Failure:
        return Combined((self, failure(other)), False)

    def __ror__(self, other: Any) -> Failure:
        return failure(other) | self

    def __and__(self, other: Any) -> Failure:
        return Combined((self, failure(other)), True)

    def __rand__(self, other: Any) -> Failure:
        return failure(other) & self

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<failure: {self.name}>"


@dataclass(frozen=True, repr=False)
class Happening(Failure):
    """An event that matches a query."""

    query: Query
    label: str

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        return QueryJudge(stretch, self.query, with_past)


@dataclass(frozen=True, repr=False)
class Checked(Failure):
    """An event for which a function, or a new instance of a class per future, returns true."""

    check: Any
    label: str

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        remembers = inspect.isclass(self.check)
        return CheckJudge(stretch, self.check() if remembers else self.check, remembers, with_past)


@dataclass(frozen=True, repr=False)
class Missing(Failure):
    """Something good that has not happened by the horizon."""

    good: Failure
    label: str

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        return MissingJudge(stretch, self.good.judge(stretch, True))


@dataclass(frozen=True, repr=False)
class Silence(Failure):
    """No event that matches a query for ``patience`` (ns)."""

    query: Query
    patience: int
    label: str

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        return SilenceJudge(stretch, self.query, self.patience)


@dataclass(frozen=True, repr=False)
class Command(Failure):
    """A command that does not exit with 0. Instants and durations are in ns."""

    script: str
    container: str
    at: int | None
    """When it runs, counted from vtime 0."""
    after: int | None
    """When it runs, counted from the branch. With neither, it runs at the horizon."""
    patience: int
    label: str

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        at = stretch.horizon
        if self.at is not None:
            at = stretch.origin + self.at
        elif self.after is not None:
            at = stretch.fork + self.after
        return CommandJudge(stretch, self.script, self.container, at, self.patience)


@dataclass(frozen=True, repr=False)
class Combined(Failure):
    """Any of several failures, or all of them."""

    parts: tuple[Failure, ...]
    needs_all: bool

    @property
    def name(self) -> str:
        names = (f"({p.name})" if isinstance(p, Combined) else p.name for p in self.parts)
        return (" and " if self.needs_all else " or ").join(names)

    def judge(self, stretch: Stretch, with_past: bool = False) -> Judge:
        past = with_past or self.needs_all
        judges = [part.judge(stretch, past) for part in self.parts]
        return CombinedJudge(stretch, judges, self.needs_all)


def failure(
    what: Failure | Query | EventSet | str | None = None,
    *,
    exit: str | None = None,
    code: int | Iterable[int] | None = None,
    signal: str | int | None = None,
    asked: bool = False,
    log: str | re.Pattern[str] | None = None,
    container: str | None = None,
    always: str | None = None,
    sometimes: str | None = None,
    test: str | None = None,
    silence: Any = None,
    check: Callable[[Event], Any] | None = None,
    name: str = "",
    eventually: Failure | Query | EventSet | str | None = None,
    shell: str | None = None,
    at: Any = None,
    after: Any = None,
    timeout: Any = None,
) -> Failure:
    """A failure: one of these, combined with others by ``|`` (any) and ``&`` (all).

    ``failure(exit="standby.*", code=1, signal="SIGKILL")``
        a container exits; ``code`` is one or several, ``range(1, 256)``. Exits that a fault or a
        user asked for count only with ``asked=True``.
    ``failure(log=r"panic|fatal", container="db.*")``
        a line in which the regular expression is found.
    ``failure(always="*")``
        an SDK assertion with such a message that must hold (always, unreachable) and does not.
    ``failure(sometimes="*recovered*")``
        an SDK assertion with such a message has not held once by the horizon.
    ``failure(test="parallel_driver_*")``
        a test command with such a name ends with a code other than 0, or by a signal; those that
        are killed, alone or with their container, are not meant.
    ``failure(silence=10, container="client.*")``
        none of these containers (default: any) writes a line for so many virtual seconds: they
        wait for each other, or for something that never comes.
    ``failure(check=function)``
        ``function(event)`` is true for an event. A class is instantiated anew for each future, so
        its ``__call__`` may remember the events it has got. ``name`` says what it looks for.
    ``failure(eventually="log:client:recovered")``
        this good thing has not happened by the horizon, counted from vtime 0.
    ``failure(shell="redis-cli get x | grep -q 1", container="client", at=12)``
        the command exits with a code other than 0, or takes longer than ``timeout`` (60) virtual
        seconds. It runs at ``at`` (virtual time), or ``after`` so many seconds of the future, or,
        with neither, at the horizon.
    ``failure("exit:standby.*")``
        the short forms of command lines, a query, an event set (its query), or a failure.

    All but ``eventually``, ``sometimes``, ``silence`` and parts of ``&`` look only at what happens
    after the branch.

    :raises BranchpointError: when the arguments do not describe one failure.
    """
    kinds = [what, exit, log, always, sometimes, test, silence, check, eventually, shell]
    if sum(kind is not None for kind in kinds) != 1:
        raise BranchpointError(
            "failure() takes exactly one kind of failure",
            'combine several: failure(exit="a.*") | failure(log="fatal")',
        )
    for wrong, reason in (
        (
            exit is None and (code is not None or signal is not None or asked),
            "code=, signal= and asked= need exit=",
        ),
        (
            (log, shell, silence) == (None, None, None) and container is not None,
            "container= needs log=, shell= or silence=; for exits give exit= the container's name",
        ),
        (
            shell is None and (at, after, timeout) != (None, None, None),
            "at=, after= and timeout= need shell=",
        ),
        (at is not None and after is not None, "give at= or after=, not both"),
    ):
        if wrong:
            raise BranchpointError(reason)
    if exit is not None:
        return _exit(exit, code, signal, asked, name)
    if log is not None:
        where = f" in {container}" if container else ""
        pattern = log if isinstance(log, str) else log.pattern
        query = Where(type="log", regex=log, container=container)
        return Happening(query, name or f"log {pattern!r}{where}")
    if always is not None:
        return Happening(violated(always), name or f"assertion {always!r} violated")
    if sometimes is not None:
        good: Failure = Happening(achieved(sometimes), f"assertion {sometimes!r}")
        return Missing(good, name or f"never {good.name}")
    if test is not None:
        return Happening(failed_test(test), name or f"test command {test} failed")
    if silence is not None:
        return _silence(silence, container or "*", name)
    if check is not None:
        return Checked(check, name or getattr(check, "__name__", type(check).__name__))
    if eventually is not None:
        good = failure(eventually)
        return Missing(good, name or f"never {good.name}")
    if shell is not None:
        instant = None if at is None else to_ns(at)
        later = None if after is None else to_ns(after)
        patience = to_ns(_PATIENCE if timeout is None else timeout)
        label = name or f"command {shell!r}"
        return Command(shell, container or "", instant, later, patience, label)
    return _failure_of(what, name)


def _failure_of(what: Any, name: str) -> Failure:
    if isinstance(what, Combined) and name:
        raise BranchpointError("name= is for one failure, not for several", "name each of them")
    if isinstance(what, Failure):
        return replace(what, label=name) if name else what  # type: ignore[type-var]
    if isinstance(what, str):
        kind, _, rest = what.partition(":")
        if kind == "silence":
            length, _, container = rest.partition(":")
            return _silence(length, container or "*", name)
        query = parse_query(what)
        if kind == "exit":
            return _exit(rest, None, None, False, name)
        return Happening(query, name or what)
    if isinstance(what, EventSet):
        following.check(what.query)
        return Happening(what.query, name or "an event of the set")
    if isinstance(what, Query):
        following.check(what)
        return Happening(what, name or "an event of the query")
    raise BranchpointError(
        f"{what!r} is not a failure", 'give one: failure(exit="*"), failure(log="fatal"), "exit:db"'
    )


def _silence(length: Any, container: str, name: str) -> Silence:
    patience = to_ns(length)
    if patience <= 0:
        raise BranchpointError(f"silence={length!r}: it must be greater than 0", 'such as "10s"')
    lines = Where(type="log", container=container, source=("container", "test"))
    of = "" if container == "*" else f" of {container}"
    return Silence(lines, patience, name or f"silence{of} for {patience / 1e9:g} s")


def _exit(pattern: str, code: Any, signal: str | int | None, asked: bool, name: str) -> Failure:
    query: Query = Where(type="container.exit", container=pattern)
    told = []
    if code is not None:
        try:
            codes = sorted({code} if isinstance(code, int) else {int(each) for each in code})
        except (TypeError, ValueError):
            codes = []
        if not codes:
            raise BranchpointError(
                f"code={code!r} has to be a number, or several", "such as range(1, 256)"
            )
        parts = [Where(fields={"code": str(each), "signal": "0"}) for each in codes]
        any_of: Query = parts[0]
        for part in parts[1:]:
            any_of |= part
        query &= any_of
        told.append(f"code {_runs(codes)}")
    if signal is not None:
        number = _signal(signal)
        query &= Where(fields={"signal": str(number)})
        told.append(signals.Signals(number).name)
    if not asked:
        query -= Where(fields={"asked": "1"})
    said = f"exit of {pattern}" + (f" ({', '.join(told)})" if told else "")
    return Happening(query, name or said)


def _runs(codes: list[int]) -> str:
    """Ascending numbers in short: "1 to 3, 137"."""
    parts = []
    for _, run in groupby(enumerate(codes), lambda pair: pair[1] - pair[0]):
        numbers = [number for _, number in run]
        parts.append(
            f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 2 else ", ".join(map(str, numbers))
        )
    return ", ".join(parts)


def _signal(given: str | int) -> int:
    try:
        if isinstance(given, str):
            return signals.Signals[f"SIG{given.upper().removeprefix('SIG')}"].value
        return signals.Signals(given).value
    except (KeyError, ValueError):
        raise BranchpointError(f"there is no signal {given!r}", 'for example "SIGKILL"') from None


def _described(thing: Any, depth: int = 0) -> str:
    """A text that is equal for equal failures: no addresses, no order of hashing."""
    if thing is None or isinstance(thing, bool | int | float | str | bytes | range | slice):
        return repr(thing)
    if depth > _DEEPEST:
        return type(thing).__qualname__
    deeper = functools.partial(_described, depth=depth + 1)
    if isinstance(thing, re.Pattern):
        return f"re({thing.pattern!r}, {thing.flags})"
    if isinstance(thing, tuple | list):
        return f"[{', '.join(map(deeper, thing))}]"
    if isinstance(thing, set | frozenset):
        return f"{{{', '.join(sorted(map(deeper, thing)))}}}"
    if isinstance(thing, dict):
        return f"{{{', '.join(sorted(f'{deeper(k)}: {deeper(v)}' for k, v in thing.items()))}}}"
    if isinstance(thing, types.CodeType):
        parts = (thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames)
        return f"code{deeper(parts)}"
    if isinstance(thing, types.FunctionType):
        held = inspect.getclosurevars(thing).nonlocals
        return f"{thing.__name__}{deeper((thing.__code__, thing.__defaults__, held))}"
    if isinstance(thing, types.MethodType):
        return f"{deeper(thing.__func__)} of {deeper(thing.__self__)}"
    if isinstance(thing, functools.partial):
        return f"partial{deeper((thing.func, thing.args, thing.keywords))}"
    if isinstance(thing, type):
        members = {k: v for k, v in vars(thing).items() if isinstance(v, types.FunctionType)}
        return f"class {thing.__qualname__}{deeper(members)}"
    if dataclasses.is_dataclass(thing):
        names = (f.name for f in dataclasses.fields(thing) if f.name != "label")
        return f"{type(thing).__qualname__}{deeper({n: getattr(thing, n) for n in names})}"
    return f"{type(thing).__qualname__}{deeper(getattr(thing, '__dict__', None))}"
