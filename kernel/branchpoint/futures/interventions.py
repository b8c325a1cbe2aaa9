"""A timeline without some of its faults, everything else unchanged.

The guest draws its faults by itself, and can be told to skip the one with a certain number; all
others then come as they did. A fault that a user asked for is left out of the inputs. So a future
without a fault differs from the timeline in that alone, and in what follows from it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from branchpoint.decoding import whole
from branchpoint.errors import BranchpointError
from branchpoint.events.listing import inert
from branchpoint.futures.running.future import FutureSpec
from branchpoint.guest import wire
from branchpoint.store.manifest import Input
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.faulting import named
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.replaying.history import FAULT
from branchpoint.timeline.seeds import anew

_EARLY = 5 * wire.TICK  # ns before a fault at which the guest is told to skip it
_IDLE = wire.LATEST  # the number of a fault that never comes
_MOST_DRAWN = 10_000  # faults after one that is removed
_WIDTH = 60  # characters of a fault that are shown


@dataclass(frozen=True, repr=False)
class Happened:
    """A fault that happened."""

    id: str
    kind: str
    target: str
    params: str
    at: int
    """Absolute ns."""
    vtime: float

    @property
    def drawn(self) -> bool:
        """Whether the guest drew it; else a user asked for it."""
        return whole(self.id) is not None

    @property
    def name(self) -> str:
        """Kind and target: "kill of db.1"."""
        return inert(f"{self.kind} of {self.target}" if self.target else self.kind, _WIDTH)

    def __str__(self) -> str:
        return f"{self.name} at {self.vtime:.3f} s"

    def __repr__(self) -> str:
        return f"<{self}>"


class Timeline:
    """A past with faults in it: that of the recording's end, or of another moment."""

    def __init__(self, run: Recording, of: Any = None) -> None:
        """``of`` is a moment, a branch (its tip counts), or anything that ``run.at`` takes."""
        self.run = run
        self.moment = moment_of(run, of)
        self.inputs = self.moment.inputs
        """All its inputs, from power-on."""
        self._root = run.end.inputs
        found = self.moment.events.where(type="fault.start")
        self.faults = [
            Happened(
                id=event.fields.get("id", ""),
                kind=event.fields.get("type", ""),
                target=event.fields.get("target", ""),
                params=event.fields.get("params", ""),
                at=event.at,
                vtime=event.vtime,
            )
            for event in found
        ]
        self._numbers = {int(fault.id) for fault in self.faults if fault.drawn}

    def begin(self, fault: Happened) -> int:
        """The instant (absolute ns) up to which a timeline without this fault is the same."""
        if fault.drawn:
            return max(fault.at - _EARLY, self.run.earliest)
        placed = [i.at for i in self.inputs if named(i) == fault.id]
        if not placed:
            raise BranchpointError(f"no input of this timeline asked for {fault}")
        return min(placed)

    def without(self, removed: Collection[Happened]) -> list[Input]:
        """All inputs, changed so that these faults do not happen.

        Draws that had no effect, because all their targets were hit already, stay without effect.
        """
        changed = self._only_without(removed)
        drawn = [fault for fault in removed if fault.drawn]
        if drawn:
            first = min(drawn, key=lambda fault: int(fault.id))
            last = max(self._numbers)
            if last - int(first.id) > _MOST_DRAWN:
                raise BranchpointError(f"more than {_MOST_DRAWN} faults were drawn after {first}")
            lost = set(range(int(first.id) + 1, last)) - self._numbers
            at = self.begin(first)
            changed += [_skip(at, number, "a fault that was lost") for number in sorted(lost)]
        return _sorted(changed)

    def seeded(
        self, fault: Happened, seed: int, noise: tuple[int, int] | None, *, removed: bool
    ) -> list[Input]:
        """All inputs, with everything random drawn anew as soon as the fault has begun or, if it is
        ``removed``, would have begun. ``noise`` is as for :func:`seeding`.
        """
        kept = self._only_without([fault] if removed else [])
        return anew(kept, fault.at + 1, seed, noise)

    def reseeded(self, seed: int, noise: tuple[int, int] | None) -> list[Input]:
        """All inputs, with everything random drawn anew at the timeline's end."""
        return anew(self.inputs, self.moment.at, seed, noise)

    def disturbed(self, at: int, inputs: Sequence[Input]) -> list[Input]:
        """These inputs, and one that does nothing at an instant (absolute ns): the guest is told to
        skip a fault that never comes, which takes it as long as any other.
        """
        return _sorted([*inputs, _skip(at, _IDLE, "nothing")])

    def _only_without(self, removed: Collection[Happened]) -> list[Input]:
        placed = {fault.id for fault in removed if not fault.drawn}
        skips = [
            _skip(self.begin(fault), int(fault.id), str(fault)) for fault in removed if fault.drawn
        ]
        return [*(i for i in self.inputs if named(i) not in placed), *skips]

    # -- futures of it

    def job(
        self,
        inputs: Sequence[Input],
        before: int,
        *,
        since: int | None = None,
        lines: bool = False,
    ) -> FutureSpec:
        """A future in which these are all inputs; it is judged from ``before`` (absolute ns) on,
        or from where it leaves the recording, if that is earlier. Or from ``since`` on, up to which
        it is the same as others.
        """
        at = min(before, self.leaves(inputs))
        given = [i for i in inputs if i.at >= at]
        kept = since if since is not None and since > at else None
        return FutureSpec(at, None, given, recorded=False, since=kept, lines=lines)

    def leaves(self, inputs: Sequence[Input]) -> int:
        """The instant (absolute ns) at which a machine with these inputs leaves the recording."""
        for recorded, given in zip_longest(self._root, inputs):
            if recorded != given:
                return min(self.run.manifest.end, *(i.at for i in (recorded, given) if i))
        return self.run.manifest.end

    def branch(self, job: FutureSpec, end: int) -> Branch:
        """The future of a job as a branch, run to ``end`` (absolute ns)."""
        root = self.run.replayer.root
        point = root.point(job.at)
        history = root.branch(point)
        history.inputs[point.count :] = job.inputs
        self.run.replayer.play(history, end)
        return Branch(self.run, history)

    def id(self, job: FutureSpec, end: int) -> str:
        """The id of that branch's tip."""
        root = self.run.replayer.root
        point = root.point(job.at)
        history = root.branch(point)
        history.inputs[point.count :] = job.inputs
        return Moment(self.run, history, history.point(end)).id


def moment_of(run: Recording, of: Any) -> Moment:
    """The moment that is meant: of the recording's end (None), a branch's tip, or ``run.at(of)``.

    :raises BranchpointError: when it is one of another recording.
    """
    if isinstance(of, Branch):
        of = of.end
    return run.end if of is None else run.at(of)


def _skip(at: int, number: int, what: str) -> Input:
    return Input(at=at, kind=FAULT, data=wire.injector("skip", number), note=f"without {what}")


def _sorted(inputs: list[Input]) -> list[Input]:
    return sorted(inputs, key=lambda i: i.at)  # stable: of one instant, the recorded ones first
