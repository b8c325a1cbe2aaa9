"""A branch run a second time, to see whether it is the same.

When something was done to a branch, no digest of it is known, so only the past before it can be
compared with the recording. But the branch can be run again: in another emulator, and from an
earlier state than the first time. That shows whether the first state lacked anything.
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
_FAR = 20_000_000_000  # ns; a branch that takes longer to replay is only checked when asked for
_chance = random.Random(0)


@dataclass(frozen=True, repr=False)
class Checked:
    """The result of a second run of a branch that was the same as the first."""

    first: str
    """The state from which the first run of the branch started."""
    again: str
    """The state from which the second run started, in another emulator."""
    events: int
    """Events that the second run heard on the way."""
    output: int
    """Bytes that commands in raw mode and terminals wrote on the way."""
    digest: str
    """Digest of all memory, registers and devices at the tip, the same in both runs."""

    def __str__(self) -> str:
        return (
            f"the same from {self.again} in another emulator as from {self.first}: "
            f"{self.events} events, {self.output} bytes of output, machine {self.digest[:16]}"
        )

    __repr__ = __str__


def self_check(share: float | Fraction | str, seed: int = 0) -> None:
    """Run a share of all branches a second time, to check that they are the same.

    ``share`` is between 0 (none, the default) and 1 (all), also as text such as ``"1/20"``.
    Whenever time has passed in a branch to which something was done, a random draw decides whether
    to check it (see :meth:`Branch.check`); ``seed`` is that of the draws. The same goes for
    futures, in worker processes that are started from now on. The environment variable
    ``BRANCHPOINT_SELF_CHECK`` sets the share for a whole process.

    When a branch is not the same, the call that let its time pass raises DivergenceError.

    :raises BranchpointError: when ``share`` is not between 0 and 1.
    """
    _read(str(share))
    os.environ[SETTING] = str(share)
    _chance.seed(seed)


def due() -> bool:
    """Whether to check the next branch: a random draw with the share that is set."""
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
            f"{text!r} is not a share of branches to check ({SETTING})",
            "give one such as 1/20, or 0 for none",
        )
    return share


def check(replayer: Replayer, history: History, *, fresh: bool = True) -> Checked:
    """Run a branch again up to its tip and compare events, output and machine.

    With ``fresh``, in a fresh emulator and from two checkpoints before the start of the first run.
    Without, which takes a fraction of the time, in the second emulator that is kept and from one
    checkpoint before.

    :raises DivergenceError: when anything differs; it names the states from which both runs
        started.
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
        f"first time: the first run started from {first}, the second, in another emulator, from "
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
    """Another emulator at ``goal`` of a history, that ran there from another state than ``first``.

    On its way it is compared with everything that is known. ``fresh`` is as for :func:`check`,
    ``raws`` as for ``Replayer.replay``.
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
    """The checkpoint ``back`` places before the ``first`` state; None: the boot snapshot.

    There is none before the boot snapshot: when the first run started there, it is a checkpoint
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
    """Whether commands and terminals wrote the same in a run that started before the first of them.

    A history has the output of its parents' terminals from their beginning, but of its parents'
    commands only what they wrote after the fork.
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
