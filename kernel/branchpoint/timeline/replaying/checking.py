"""A branch run a second time, to see whether it is the same.

Of a branch to which something was done no digest is known, so all that can be compared with the
recording is what lies before. But the branch can be run again: in another emulator, and from an
earlier state than the first time. What is not in that first state then shows.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from branchpoint.errors import BranchpointError, DivergenceError
from branchpoint.events.event import EventLog
from branchpoint.guest import wire
from branchpoint.timeline.replaying.history import COMMAND, History, Point, Start

if TYPE_CHECKING:
    from branchpoint.timeline.replaying.player import Player
    from branchpoint.timeline.replaying.replayer import Replayer

SETTING = "BRANCHPOINT_SELF_CHECK"
"""The environment variable that says how many branches are checked, such as ``1/20``."""
_FAR = 20_000_000_000  # ns; a branch that is longer to replay is only checked when asked for
_chance = random.Random(0)


@dataclass(frozen=True, repr=False)
class Checked:
    """What a second run of a branch, which was the same, had in common with the first."""

    first: str
    """The state from which the machine had run that first let time pass in the branch."""
    again: str
    """The state from which another emulator ran, up to the branch's tip."""
    events: int
    """Events that it heard on the way."""
    output: int
    """Bytes that commands in raw mode and terminals wrote on the way."""
    digest: str
    """Of all memory, registers and devices at the tip, in both runs."""

    def __str__(self) -> str:
        return (
            f"the same from {self.again} in another emulator as from {self.first}: "
            f"{self.events} events, {self.output} bytes of output, machine {self.digest[:16]}"
        )

    __repr__ = __str__


def self_check(share: float | Fraction | str, seed: int = 0) -> None:
    """Have a share of all branches run a second time, to see whether they are the same.

    ``share`` is between 0 (none, which is usual) and 1 (every one), also as text such as
    ``"1/20"``. Whenever time has passed in a branch to which something was done, it is drawn
    whether to check it (see :meth:`Branch.check`), with ``seed``; and so for futures, in worker
    processes that are started from now on. The environment variable ``BRANCHPOINT_SELF_CHECK``
    says the same for a whole process.

    A branch that is not the same raises DivergenceError where time was to pass.
    """
    _read(str(share))
    os.environ[SETTING] = str(share)
    _chance.seed(seed)


def due() -> bool:
    """Whether the next branch is to be checked: drawn with the chance that is set."""
    share = _read(os.environ.get(SETTING, "0"))
    return share > 0 and _chance.random() < share


@cache
def _read(text: str) -> float:
    try:
        share = float(Fraction(text))
    except (ValueError, ZeroDivisionError):
        share = -1
    if not 0 <= share <= 1:
        raise BranchpointError(
            f"{text!r} is no share of branches to check", f"say 1/20, or 0 for none ({SETTING})"
        )
    return share


def check(replayer: Replayer, history: History, *, fresh: bool = True) -> Checked:
    """Run a branch again up to its tip and compare events, output and machine.

    In a ``fresh`` emulator and from two checkpoints before the first run's, or, which takes a
    fraction of the time, in the second one that is kept and from one checkpoint before.

    :raises DivergenceError: when anything differs; it says from where the two runs had started.
    """
    with replayer.lock:
        player = replayer.bring(history, history.tip)
        digest = player.computer.digest()
        first = history.began or player.since
        raws: list[wire.Raw] = []
        with apart(replayer, history, history.tip, first, fresh=fresh, raws=raws) as other:
            since = other.since
            assert since is not None
            words = replayer.named(first), replayer.named(since)
            for what, same in (
                ("in another state", other.computer.digest() == digest),
                ("with other output of its commands", _same_output(history, raws)),
            ):
                if not same:
                    raise difference(replayer, what, history.tip.at, *words)
        at = history.log.columns().at
        events = int(at.searchsorted(history.tip.at, "right") - at.searchsorted(since.at, "right"))
        return Checked(*words, events, sum(len(raw.data) for raw in raws), digest.hex())


def sample(replayer: Replayer, history: History) -> None:
    """Check a branch in which time has passed, if it is drawn and does not take long."""
    tip = history.tip
    if replayer.shared(history, tip.at) < tip.at and due():
        place = _place(replayer, history, tip, history.began, back=1)
        start = replayer.snapshot.state.at if place is None else place.at
        if tip.at - start <= _FAR:
            check(replayer, history, fresh=False)


def difference(replayer: Replayer, what: str, at: int, first: str, again: str) -> DivergenceError:
    """The error for a branch that is not the same the second time."""
    return DivergenceError(
        f"{replayer.path}: a branch that was run again is at {replayer.vtime(at)} {what} than the "
        f"first time: first the machine had run from {first}, then, in another emulator, from "
        f"{again} (recorded with {replayer.files.manifest.engine})",
        "run `branchpoint doctor`; if this engine is sound, report this as a bug",
    )


@contextmanager
def apart(
    replayer: Replayer,
    history: History,
    goal: Point,
    first: Start | None,
    *,
    fresh: bool = True,
    raws: list[wire.Raw] | None = None,
) -> Iterator[Player]:
    """Another emulator at ``goal`` of a history, which ran there from another state than ``first``.

    On its way it is compared with all that is known. ``fresh`` is as for :func:`check`, ``raws``
    as for ``Replayer.replay``.
    """
    place = _place(replayer, history, goal, first, back=2 if fresh else 1)
    player = replayer.new_player() if fresh else replayer.free_player()
    try:
        if place is None:
            player.restore(history, *replayer.booted())
        else:
            player.restore(history, place, replayer.load(place.at), "checkpoint")
        replayer.replay(player, history, goal, raws)
        yield player
    finally:
        if fresh:
            player.close()


def _place(
    replayer: Replayer, history: History, goal: Point, first: Start | None, *, back: int
) -> Point | None:
    """The checkpoint so many before the ``first`` state; None: the boot snapshot.

    A machine that ran from the boot snapshot the first time has none before that: then it is one
    that is nearer to the goal.
    """
    stored = _stored(replayer, replayer.in_recording(history, goal))
    others = [place for place in stored if first is None or place.at != first.at]
    if len(others) >= back:
        return others[back - 1]
    booted = first is not None and first.at == replayer.snapshot.state.at
    return others[-1] if others and booted else None


def _stored(replayer: Replayer, limit: Point) -> list[Point]:
    """The last three checkpoints of the recording that are not after ``limit``, the last first."""
    found: list[Point] = []
    at = replayer.files.nearest(limit.at)
    while at is not None and len(found) < 3:
        place = replayer.root.point(at)
        if place <= limit:
            found.append(place)
        at = replayer.files.nearest(at - 1)
    return found


def _same_output(history: History, raws: list[wire.Raw]) -> bool:
    """Whether commands and terminals wrote the same in a run from before the first of them.

    A history has its parents' terminals from their beginning, but of what its parents' commands
    wrote only what came after the fork.
    """
    again = History([], history.tip, EventLog())
    for raw in raws:
        again.take(raw)
    placed = sum(i.kind == COMMAND for i in history.inputs[: history.fork.count])
    for number in history.raw.keys() | again.raw.keys():
        for stream in ("out", "err"):
            ours = history.raw.get(number, {}).get(stream, b"")
            theirs = again.raw.get(number, {}).get(stream, b"")
            if ours != theirs and (number > placed or not theirs.endswith(ours)):
                return False
    return again.shown == {number: pieces for number, pieces in history.shown.items() if pieces}
