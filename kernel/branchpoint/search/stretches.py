"""Runs stretches of one exploration on a machine, one after another.

The ends of nodes that were used lately stay in memory; any other node is run again from set-up
complete, which gives the same machine bit for bit.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence

import numpy as np
from msgspec import Struct

from branchpoint.clock import SECOND
from branchpoint.errors import GuestEnded
from branchpoint.events.event import Event
from branchpoint.events.sdk import CODE
from branchpoint.machine.watching.coverage import Places
from branchpoint.machine.watching.ran import NO_CODE, Covered
from branchpoint.programs.python import interpreters, lines
from branchpoint.search.code import edges_of, lines_of, together
from branchpoint.search.composed import Ending
from branchpoint.search.signs import SIGNALS, Signal, kind_of, sign, signal
from branchpoint.search.tree import MOST_CODE, MOST_SEEN, ROOT, Node, Tree
from branchpoint.store.manifest import Input
from branchpoint.system.bundle.templates import command_kind
from branchpoint.timeline import testing
from branchpoint.timeline.branch import Branch
from branchpoint.timeline.failures import Failure
from branchpoint.timeline.judges import Stretch
from branchpoint.timeline.moment import Moment
from branchpoint.timeline.recording import Recording
from branchpoint.timeline.seeds import seeding

_HELD = 200  # ends of nodes that are kept in memory
_LONGEST_END = 60 * SECOND  # ns that the end of a test may take
MEMORY = 1 << 30
"""Bytes of memory that ends of nodes take in one process, before it starts afresh."""


def inputs(node: Node) -> list[Input]:
    """What reaches the machine at the beginning of a stretch."""
    last = [testing.ending(node.start, node.ending)] if node.ending else []
    return [*seeding(node.start, node.seed), *last]


def _ends_test(event: Event) -> bool:
    """Whether the last command of a test has ended, or will not come."""
    if event.type == "error":
        return event.fields.get("about") == "tests"
    return (
        event.type == "test.exit"
        and command_kind(event.fields.get("command", "")) in testing.ENDINGS
    )


class Ran(Struct, frozen=True):
    """What became of a stretch. Instants are absolute ns."""

    end: int
    seen: list[str]
    """Signs, the first one first."""
    failure: str = ""
    failed_at: int | None = None
    kind: str = ""
    code: bytes = b""
    """The places of code that ran, ascending; 8 bytes each, little endian."""
    untold: bool = False
    """Whether there was more code than the emulator tells apart."""

    @property
    def places(self) -> Places:
        return np.frombuffer(self.code, "<u8")


class Stretches:
    """Runs stretches off the nodes of a tree."""

    def __init__(
        self,
        tree: Tree,
        open_base: Callable[[], Recording],
        failures: Sequence[Failure] = (),
        signals: Collection[Signal] = SIGNALS,
        memory: int = MEMORY,
    ) -> None:
        """``open_base`` opens the recording of set-up; the root of the tree is its end.
        ``failures`` end a stretch; ``signals`` are what is seen of it. Ends of nodes may take
        ``memory`` (bytes).
        """
        self._tree = tree
        self._open = open_base
        self._failures = failures
        self._signals = signals
        self._covers = {"code", "python"} & set(signals)
        self._memory = memory
        self._run = self._opened()
        self._held: OrderedDict[int, Branch] = OrderedDict()
        self._unnumbered: dict[tuple[int, int], Branch] = {}
        """Ends of stretches that are no nodes yet, by parent and seed."""

    def run(self, parent: int, seed: int, length: int, ending: Ending = "") -> Ran:
        """Run a stretch of at most ``length`` ns, from the end of node ``parent``.

        It ends early where something fails, and where there is a sign that the tree does not know;
        one that ends the test may be longer, and ends when the last command has.
        """
        start = self._end_of(parent)
        branch = self._begun(parent, seed, ending)
        length = max(length, _LONGEST_END) if ending else length
        columns, origin = start.events.columns, self._run.origin
        horizon = start.at + length
        stretch = Stretch(start.at, horizon, origin, columns)
        judges = [(failure, failure.judge(stretch)) for failure in self._failures]
        seen: dict[str, None] = {}
        edges: list[Places] = []  # that programs tell of; and lines
        failed: list[tuple[int, str, str]] = []  # when, what, and its sign

        def stop(new: list[Event]) -> bool:
            fresh = over = False
            for event in new:
                over = over or _ends_test(event)
                if event.type == CODE and "code" in self._covers:
                    edges.append(edges_of(event))
                found = sign(event)
                if not found or signal(found) not in self._signals:
                    continue
                if found not in seen and len(seen) < MOST_SEEN:
                    seen[found] = None
                    fresh = fresh or not self._tree.knows(found)
            for failure, judge in judges:
                at = judge.feed(new)
                if at is not None:
                    told = (kind_of(event) for event in new if event.at == at)
                    failed.append((at, failure.name, next(told, "")))
            return bool(failed) or (over if ending else fresh)

        with contextlib.suppress(GuestEnded):  # an event has told it
            self._run.replayer.play(branch._history, horizon, stop)
        told = self._run.replayer.ran
        edges.append(lines_of(lines(told.bytecode)))
        places = told.places if "code" in self._covers else NO_CODE
        ran, left_out = together(places, edges, MOST_CODE)
        code, untold = ran.tobytes(), told.untold or left_out
        end = branch.end.at
        if not failed:
            settled = [(judge.settle(end), failure.name, "") for failure, judge in judges]
            failed = [(at, name, kind) for at, name, kind in settled if at is not None]
        self._unnumbered[parent, seed] = branch
        if not failed:
            return Ran(end, list(seen), code=code, untold=untold)
        at, name, kind = min(failed)
        return Ran(end, list(seen), name, at, kind, code, untold)

    def learn(self, node: Node) -> None:
        """Take in that a node was added to the tree; if it was run here, its end is kept."""
        branch = self._unnumbered.pop((node.parent, node.seed), None)
        if branch is not None:
            self._hold(node.number, branch)

    def branch(self, number: int) -> Branch:
        """A node's timeline, up to its end."""
        held = self._held.get(number)
        if held is not None:
            self._held.move_to_end(number)
            return held
        for each in self._tree.path(number):
            if each in self._held:
                continue
            node = self._tree[each]
            branch = self._begun(node.parent, node.seed, node.ending)
            self._run.replayer.play(branch._history, node.end)
            self._hold(each, branch)
        return self._held[number]

    def _begun(self, parent: int, seed: int, ending: Ending) -> Branch:
        branch = self._end_of(parent).branch(seed)
        return branch.finish_test(ending) if ending else branch

    def _end_of(self, number: int) -> Moment:
        return self._run.end if number == ROOT else self.branch(number).end

    def _hold(self, number: int, branch: Branch) -> None:
        self._held[number] = branch
        while len(self._held) > _HELD:
            _, dropped = self._held.popitem(last=False)
            dropped._history.states.clear()  # later branches hold their parents

    def spare(self) -> None:
        """Give memory back, when too much of it is in use."""
        if self._run.replayer.pool.size > self._memory:
            self._afresh()

    def _afresh(self) -> None:
        self._held.clear()
        self._unnumbered.clear()
        self._run.close()
        self._run = self._opened()

    def _opened(self) -> Recording:
        run = self._open()
        if self._covers:
            module = run.replayer.snapshot.spec.modules[-1]
            run.replayer.cover(Covered(interpreters(module) if "python" in self._covers else ()))
        return run

    def close(self) -> None:
        """End the emulators and close the recording of set-up."""
        self._held.clear()
        self._run.close()
